"""Adapts the requests of schemathesis to requirements that the OpenAPI document cannot express."""

import itertools
import json

import schemathesis
from schemathesis.generation import GenerationMode

keys = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives each valid request a unique key, since another request with the same key is refused."""
    is_valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if is_valid and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"schemathesis-{next(keys)}"


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    """Sends a string unchanged, and any other value as one document."""
    return {"data": value.encode() if isinstance(value, str) else json.dumps(value).encode()}
