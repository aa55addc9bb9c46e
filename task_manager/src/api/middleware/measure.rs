//! Counts requests by route and status, and measures how long they take.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::metrics;

/// The route of a request that matches none: its path is up to the client.
const NO_ROUTE: &str = "none";

/// Counts the request. An answer without a body is complete; a stream may last much longer.
pub async fn measure(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    metrics().request_answered(method, route, response.status().as_u16(), begin.elapsed());
    response
}

/// The name of a method. Clients may invent others.
pub(super) fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
