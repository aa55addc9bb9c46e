//! The response to requests whose work is done later.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A 202 with `body` and `Retry-After`, and with `Location` if there is a single task.
pub fn accepted(location: Option<&str>, body: impl Serialize) -> Response {
    let location = location.and_then(|location| HeaderValue::try_from(location).ok());
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.extend(location.map(|location| (header::LOCATION, location)));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
