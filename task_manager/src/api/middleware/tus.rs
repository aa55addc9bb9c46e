//! What every response under `/v1/uploads` has by tus 1.0.0: the version of the protocol, and to
//! `OPTIONS` what the server can do.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::request::resumable::checksum::ALGORITHMS;
use crate::api::request::resumable::{
    INTEROP_VERSION, TUS, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_EXTENSIONS, TUS_MAX_SIZE,
    TUS_RESUMABLE, TUS_VERSION, UPLOAD_LIMIT,
};
use crate::lifecycle::resumable::ResumableUploads;

/// Adds the headers of tus to responses under `/v1/uploads`, and answers `OPTIONS` there.
pub async fn tus(
    State(uploads): State<ResumableUploads>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_upload = path == "/v1/uploads" || path.starts_with("/v1/uploads/");
    if !is_upload {
        return next.run(request).await;
    }
    let is_discovery = *request.method() == Method::OPTIONS;
    let is_tus = !request.headers().contains_key(INTEROP_VERSION);
    let mut response = next.run(request).await;
    if is_discovery {
        // No route takes OPTIONS; what allows cross-origin requests does.
        if matches!(response.status(), StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNAUTHORIZED) {
            response = StatusCode::NO_CONTENT.into_response();
        }
        discovery(response.headers_mut(), uploads.drafts.limit);
    }
    if is_tus {
        response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static(TUS));
    }
    response
}

fn discovery(headers: &mut HeaderMap, limit: u64) {
    headers.insert(TUS_VERSION, HeaderValue::from_static(TUS));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(TUS_EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, HeaderValue::from(limit));
    headers.insert(TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS));
    headers.extend(HeaderValue::try_from(format!("max-size={limit}")).map(|it| (UPLOAD_LIMIT, it)));
}
