"""Runs moto's S3 with a bucket: s3-server.py PORT BUCKET [HOST]

It keeps its objects in memory. Some of its answers differ from those of S3 and are corrected here:
- It is not safe for threads: two requests that complete one upload destroy it. Here, one request is answered
  at a time, once it has arrived completely.
- A request that is cut is not answered, where moto would store what came of it.
- A PUT that does not state the length of its body is refused.
- A part for an upload that no longer exists is refused, where moto has an internal error.
"""

import io
import sys
from threading import Lock

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import WSGIRequestHandler, run_simple

moto = DomainDispatcherApplication(create_backend_app)
one_at_a_time = Lock()

upload_part = S3Backend.upload_part


def checked_upload_part(self, bucket_name, multipart_id, *args, **kwargs):
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(upload_id=multipart_id)
    return upload_part(self, bucket_name, multipart_id, *args, **kwargs)


S3Backend.upload_part = checked_upload_part


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "PUT" and "CONTENT_LENGTH" not in environ:
        start_response("411 Length Required", [("Content-Length", "0")])
        return []
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise ConnectionError("the request was cut")
    environ["wsgi.input"] = io.BytesIO(body)
    with one_at_a_time:
        return list(moto(environ, start_response))


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, kind, message, *args):
        if kind != "info":
            sys.stderr.write(f"{message % args if args else message}\n")


port, bucket, *host = sys.argv[1:]
s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(bucket, "us-east-1")
run_simple(*(host or ["127.0.0.1"]), int(port), app, threaded=True, request_handler=Handler)
