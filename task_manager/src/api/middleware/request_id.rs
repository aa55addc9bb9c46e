//! Gives every request an id and a log span that contains it, using the layers of tower-http.
//!
//! The span lasts until the end of the body, so that an error while rows are streamed is logged
//! with the request's id too.
//!
//! # By hand
//! The check of ids from clients: tower-http accepts any id, and it is written to the log.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::map_request;
use axum::response::Response;
use tower::ServiceBuilder;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::{Span, debug, info_span};

/// The header with the id, in requests and in responses.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is accepted from a client.
const MAX_REQUEST_ID: usize = 128;

/// Gives each request to `router` an id, which is in its log lines and in the response.
pub fn with_request_ids<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(answered)
        .on_body_chunk(())
        .on_eos(())
        // Handlers log why they fail.
        .on_failure(());
    router.layer(
        ServiceBuilder::new()
            .layer(map_request(remove_invalid_id))
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(trace),
    )
}

async fn remove_invalid_id(mut request: Request) -> Request {
    if request.headers().get(&REQUEST_ID).is_some_and(|id| !is_plain(id)) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=MAX_REQUEST_ID).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    info_span!(
        "request",
        request_id = id.unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
        user_id = tracing::field::Empty,
        task_id = tracing::field::Empty,
    )
}

fn answered(response: &Response, latency: Duration, _: &Span) {
    debug!(status = response.status().as_u16(), ?latency, "answered");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::routing::get;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::BodyExt;
    use tower::Service;

    use super::*;

    async fn streams() -> Body {
        Body::from_stream(stream::once(async {
            tracing::error!("the rows cannot be read");
            Err::<Bytes, _>(io::Error::other("gone"))
        }))
    }

    #[tokio::test]
    async fn an_error_while_a_body_is_streamed_is_logged_with_the_id() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let writer = Arc::new(log.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer);
        let _guard = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
        let mut router = with_request_ids(Router::new().route("/", get(streams)));
        let request = Request::builder().uri("/").header("x-request-id", "abc");
        let response = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "abc");
        assert!(response.into_body().collect().await.is_err());
        let log = io::read_to_string(&mut log).unwrap();
        let line = log.lines().find(|line| line.contains("the rows cannot be read")).unwrap();
        assert!(line.contains("request_id=\"abc\"") && line.contains("path=\"/\""), "{line}");
    }
}
