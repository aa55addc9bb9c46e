//! Compresses JSON by gzip for clients that take it, by the layer of tower-http.
//!
//! # Invariants
//! - Only answers to GET are compressed. The others are short, and the length of a compressed answer
//!   can leak what is secret in it, such as the token of a login (BREACH).
//! - Only JSON is compressed. A result keeps the bytes that its strong ETag, length and ranges refer
//!   to, and no event waits in a compressor.
//!
//! # By hand
//! No request fails for its `Accept-Encoding`. If it takes neither gzip nor a plain body, tower-http
//! turns every answer into 406, after the handler has run.

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// From how many bytes on an answer is compressed: less than that fits one packet anyway.
const LEAST: u64 = 1_024;

/// Compresses longer JSON.
pub fn layer() -> CompressionLayer<impl Predicate + Send + Sync + 'static> {
    CompressionLayer::new()
        // A long list of tasks: to a seventh at 800 MB/s; the default level to a tenth at 200 MB/s.
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(LEAST).and(is_plain_json))
}

fn is_plain_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    is_json && !headers.contains_key(header::ETAG)
}

/// Lets every request take a plain body, with the least preference, and those other than GET nothing
/// else.
pub async fn allow_plain(mut request: Request) -> Request {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = request.headers_mut();
    let given: Vec<_> = headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect();
    // Of several weights of a coding, the layer takes the first for a wildcard, and else the largest.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity;q=0.001"));
    for value in given.into_iter().filter(|_| is_get) {
        headers.append(header::ACCEPT_ENCODING, value);
    }
    request
}
