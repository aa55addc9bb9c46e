//! Completes the OpenAPI document with parameters and answers that many operations share, so that
//! no route can omit them.

use std::collections::BTreeMap;

use common::problem::MEDIA_TYPE;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayItems, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{
    HeaderBuilder, ObjectBuilder, OpenApi as Built, Ref, RefOr, Response, ResponseBuilder, Schema,
};

use super::{operations, problem};
use crate::accounts::users::credentials::PasswordLength;

/// The header that makes a request repeatable.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Answers: status, name among the components, and description.
const ANSWERS: [(&str, &str, &str); 8] = [
    ("400", "BadRequest", "The request cannot be read"),
    (
        "403",
        "Forbidden",
        "The caller is not permitted to do this; without a login, the request is from another site",
    ),
    ("408", "RequestTimeout", "The request body stalled for too long"),
    ("409", "InProgress", "A request with the same key is in progress"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "UnsupportedMediaType", "The body's type or encoding is not supported"),
    (
        "503",
        "Unavailable",
        "The server is overloaded, or its database or storage is temporarily unavailable",
    ),
    ("507", "Full", "The disk of the storage or of the database has no space left"),
];
/// Those that only requests with a body get.
const OF_BODIES: [&str; 4] = ["408", "413", "415", "507"];

/// Completes the parameters and the answers of every operation.
pub fn complete(mut document: Built) -> Built {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete_parameters(operation);
            complete_errors(operation);
            complete_answers(path, operation);
        }
    }
    let answers = ANSWERS
        .map(|(status, name, description)| (name.to_owned(), answer(status, description).into()));
    document.components.get_or_insert_default().responses.extend(answers);
    document
}

fn answer(status: &str, description: &str) -> Response {
    let answer = ResponseBuilder::new().description(description).content(MEDIA_TYPE, problem(None));
    match status {
        "503" => {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("Seconds to wait before the next request"));
            answer.header("Retry-After", header.build()).build()
        }
        _ => answer.build(),
    }
}

/// An error is a problem document, unless its route says otherwise.
fn complete_errors(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            response.content.insert(MEDIA_TYPE.to_owned(), problem(None).into());
        }
    }
}

fn complete_answers(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let mut parameters = operation.parameters.iter().flatten();
    let has_key = parameters.any(|it| matches!(it, RefOr::T(it) if it.name == IDEMPOTENCY_KEY));
    for (status, name, _) in ANSWERS {
        let is_possible = match status {
            "409" => has_key,
            "503" => path.starts_with("/v1/"),
            status => has_body || !OF_BODIES.contains(&status),
        };
        if is_possible {
            let responses: &mut BTreeMap<_, _> = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert(Ref::from_response_name(name).into());
        }
    }
}

fn complete_parameters(operation: &mut Operation) {
    // The parameters of a file must not be empty.
    let takes_empty = operation.request_body.is_none();
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let Some(schema) = shared(parameter).or(parameter.schema.take()) else { continue };
        let is_query = parameter.parameter_in == ParameterIn::Query;
        parameter.schema = Some(if is_query && takes_empty { or_empty(schema) } else { schema });
    }
}

/// Permits the empty value, which forms send for an absent parameter.
fn or_empty(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Array(mut list)) => {
            if let ArrayItems::RefOrSchema(item) = list.items {
                list.items = ArrayItems::RefOrSchema(Box::new(or_empty(*item)));
            }
            RefOr::T(Schema::Array(list))
        }
        schema => {
            let empty = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
            AnyOfBuilder::new().item(schema).item(empty).into()
        }
    }
}

/// The schema of a parameter that several operations take.
fn shared(parameter: &Parameter) -> Option<RefOr<Schema>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Integer);
    let formatted = |format| text().format(Some(SchemaFormat::KnownFormat(format)));
    match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Header, IDEMPOTENCY_KEY) => {
            let text = text().min_length(Some(1)).max_length(Some(255));
            Some(text.pattern(Some("^[!-~]+$")).into())
        }
        (ParameterIn::Header, _) => Some(text().into()),
        (ParameterIn::Query, "page_size") => Some(number().minimum(Some(1_usize)).into()),
        (ParameterIn::Query, "seed") => {
            let most = usize::try_from(u64::MAX).unwrap_or(usize::MAX);
            Some(number().minimum(Some(0_usize)).maximum(Some(most)).into())
        }
        (ParameterIn::Query, "from" | "to") => {
            let time = formatted(KnownFormat::DateTime);
            Some(AnyOfBuilder::new().item(time).item(formatted(KnownFormat::Date)).into())
        }
        _ => None,
    }
}

/// Sets the limits of the length of every password.
pub fn limit_passwords(
    mut document: Built,
    PasswordLength { least, most }: PasswordLength,
) -> Built {
    let schemas = document.components.as_mut().map(|components| &mut components.schemas);
    for schema in schemas.into_iter().flat_map(|schemas| schemas.values_mut()) {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for property in object.properties.values_mut() {
            if let RefOr::T(Schema::Object(text)) = property
                && text.format == Some(SchemaFormat::KnownFormat(KnownFormat::Password))
            {
                (text.min_length, text.max_length) = (Some(least), Some(most));
            }
        }
    }
    document
}
