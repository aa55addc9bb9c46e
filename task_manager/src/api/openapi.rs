//! The OpenAPI document, generated from the code; a test compares it with a snapshot.

pub mod csv_dialect;
pub mod rules;
pub mod shared;

use common::csv_preview::CsvPreview;
use common::problem::Problem;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, OpenApi as Built, Ref, Response, ResponseBuilder};

/// The parts of the document beside the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Task platform",
        description = "Upload a file; workers process it; watch it live, interrupt it, and \
                       fetch the result. Nothing accepted is lost.\n\n\
                       Every error is a problem document (RFC 9457) with a stable `code`. Times \
                       are RFC 3339 in UTC; an absent value is `null`. JSON of 1 KiB and more \
                       that a GET returns is compressed with gzip if `Accept-Encoding` allows \
                       it.\n\n\
                       A fleet requires a login: `POST /v1/users` signs up, `POST /v1/sessions` \
                       returns a token, and every other request under `/v1` sends it as \
                       `Authorization: Bearer TOKEN`. Programs may send an API key of \
                       `POST /v1/users/me/keys` instead. A standalone server on this machine \
                       requires none.",
        license(name = "MIT", identifier = "MIT")
    ),
    components(schemas(Problem, CsvPreview)),
    tags(
        (name = "data_processor", description = "Aggregate CSV files"),
        (name = "uploads", description = "Upload files over bad lines: uploads that continue after any interruption (tus 1.0.0)"),
        (name = "file_statistics", description = "Lines, words and characters of any file, and a report on them"),
        (name = "csv_previews", description = "Show the first rows of CSV files, and statistics of their columns"),
        (name = "data_uploads", description = "Load CSV files into the database"),
        (name = "messages", description = "Send messages, and search and count the valid ones"),
        (name = "user_events", description = "Send events of users, and report them by city"),
        (name = "schedules", description = "Recurring reports; for administrators"),
        (name = "tasks", description = "Watch, stop, kill, resume and delete tasks"),
        (name = "users", description = "Sign up, log in and out, and make API keys"),
        (name = "workers", description = "The workers of the platform"),
        (name = "operations", description = "The state of the whole platform"),
        (name = "health", description = "The health of the server"),
    )
)]
pub struct Document;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// Adds to every operation of `document` that it requires a token, or accepts one if none is
/// `required`, and its answer without one.
pub fn with_login(mut document: Built, required: bool) -> Built {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let requirement = SecurityRequirement::new(BEARER, [] as [&str; 0]);
            operation.security = Some(match required {
                true => vec![requirement],
                false => vec![SecurityRequirement::default(), requirement],
            });
            let responses = &mut operation.responses.responses;
            responses.insert("401".to_owned(), unauthorized().into());
        }
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT or API key")
        .description(Some("The token of `POST /v1/sessions`, or an API key (`tpk_…`)"))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

fn unauthorized() -> Response {
    let problem = problem(Some(serde_json::json!({
        "type": "/problems/token_missing",
        "title": "A login is needed",
        "status": 401,
        "detail": "Send `Authorization: Bearer TOKEN`, with the token of POST /v1/sessions. \
                   POST /v1/users signs you up.",
        "instance": "/v1/tasks",
        "code": "token_missing",
        "timestamp": "2026-01-31T12:00:00Z",
        "errors": [],
        "error_count": 0
    })));
    ResponseBuilder::new()
        .description("The token is missing, invalid or expired")
        .content("application/problem+json", problem)
        .build()
}

/// A problem document.
fn problem(example: Option<serde_json::Value>) -> Content {
    let schema = Ref::from_schema_name("Problem");
    ContentBuilder::new().schema(Some(schema)).example(example).build()
}
