//! Problem documents for every error, including those of the framework.
//!
//! By hand: tower-http does not implement RFC 9457.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::problem::{MEDIA_TYPE, Problem};
use tracing::error;

/// The types of the error responses of handlers that are not problem documents.
const OTHERS: [&str; 2] = ["application/json", "text/html; charset=utf-8"];

/// Completes problem documents, and creates one for every error without one. An error response in
/// JSON or HTML comes from a handler (`/readyz` reports its state that way) and is left unchanged.
pub async fn problems(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_of_the_framework(&response) => framework_problem(status, method.as_str(), &path),
        None => return response,
    };
    let problem = match problem.instance {
        Some(_) => problem,
        None => problem.with_instance(path),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    match serde_json::to_vec(&problem) {
        Ok(body) => Response::from_parts(parts, body.into()),
        Err(error) => {
            error!(%error, "a problem document could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn is_of_the_framework(response: &Response) -> bool {
    let status = response.status();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_of_a_handler = media_type.is_some_and(|it| OTHERS.iter().any(|other| it == other));
    (status.is_client_error() || status.is_server_error()) && !is_of_a_handler
}

fn framework_problem(status: StatusCode, method: &str, path: &str) -> Problem {
    let (code, title, detail) = match status {
        StatusCode::NOT_FOUND => (
            "not_found",
            "No such page",
            format!("There is nothing at {path}. The API is described at /docs."),
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "method_not_allowed",
            "The method is not allowed here",
            format!("{path} does not take {method}; the Allow header names what it takes."),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "too_large",
            "The body is too large",
            "The body is larger than this request may be.".to_owned(),
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "unsupported_media_type",
            "The body's type is not supported",
            "The Content-Type is none that this request takes.".to_owned(),
        ),
        status if status.is_server_error() => (
            "internal",
            "Internal server error",
            "The log has the details under this request's id (`x-request-id`).".to_owned(),
        ),
        _ => (
            "bad_request",
            "The request cannot be read",
            status.canonical_reason().unwrap_or("It is not understood.").to_owned(),
        ),
    };
    Problem::new(status.as_u16(), code, title, detail)
}
