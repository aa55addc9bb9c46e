//! Compresses JSON with gzip for clients that accept it, using the layer of tower-http.
//!
//! # Invariants
//! - Only responses to GET are compressed. The others are short, and the length of a compressed
//!   response can leak a secret in it, such as the token of a login (BREACH).
//! - Only JSON is compressed. A result keeps the bytes that its strong ETag, length and ranges
//!   refer to, and no event is delayed in a compressor.
//!
//! # By hand
//! No request fails because of its `Accept-Encoding`. If a request accepts neither gzip nor a plain
//! body, tower-http turns every response into 406, after the handler has run.

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// The smallest body that is compressed, in bytes. A smaller one fits one packet anyway.
const MIN_SIZE: u64 = 1_024;

/// Compresses JSON above a minimum size.
pub fn layer() -> CompressionLayer<impl Predicate + Send + Sync + 'static> {
    CompressionLayer::new()
        // A long list of tasks shrinks to 1/7 at 800 MB/s; by default to 1/10 at 200 MB/s.
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN_SIZE).and(is_plain_json))
}

fn is_plain_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    is_json && !headers.contains_key(header::ETAG)
}

/// Makes every request accept a plain body, with the lowest preference. A request other than GET or
/// HEAD accepts nothing else.
pub async fn allow_plain(mut request: Request) -> Request {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = request.headers_mut();
    let given: Vec<_> = headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect();
    // If a coding has several weights, the layer uses the first one for a wildcard, otherwise the
    // largest one.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity;q=0.001"));
    for value in given.into_iter().filter(|_| is_get) {
        headers.append(header::ACCEPT_ENCODING, value);
    }
    request
}
