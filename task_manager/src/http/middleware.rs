//! What every request passes: an id for the log, and problem documents for every error, the
//! framework's own included.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::problem::{MEDIA_TYPE, Problem};
use tracing::{Instrument, Span, debug, error, info_span};
use uuid::Uuid;

/// Carries the id of a request, there and back.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What handlers answer that are no problem documents.
const JSON: &str = "application/json";
/// The longest id that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// Gives the request an id, which is in every line of its log and in the answer.
pub async fn request_id(request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_plain(id)).cloned();
    let id = given.or_else(|| HeaderValue::try_from(Uuid::now_v7().to_string()).ok());
    let shown = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    let span = info_span!(
        "request",
        request_id = shown,
        method = %request.method(),
        path = request.uri().path(),
        user_id = tracing::field::Empty,
        task_id = tracing::field::Empty,
    );
    let mut response = async {
        let response = next.run(request).await;
        debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    response
}

fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=MAX_REQUEST_ID).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Has every further line of this request's log name the task.
pub fn log_task(task_id: impl std::fmt::Display) {
    Span::current().record("task_id", tracing::field::display(task_id));
}

/// Has every further line of this request's log name the user.
pub fn log_user(user_id: impl std::fmt::Display) {
    Span::current().record("user_id", tracing::field::display(user_id));
}

/// Completes problem documents, and makes one of every error that has none. An answer in JSON is no
/// error of the framework's (`/readyz` says so what is wrong) and stays as it is.
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
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == JSON);
    (status.is_client_error() || status.is_server_error()) && !is_json
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
            "The server made a mistake",
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
