//! Refuses bodies that were encoded for the transport. Nothing here decodes them, and without
//! decoding they would be taken for other content.
//!
//! By hand: `RequestDecompression` of tower-http reads only the first of several headers, refuses
//! requests without a body too, and does not drain the body, so that a client that is still sending
//! may see a reset connection instead of the refusal.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::request::file::linger;
use crate::error::Error;

/// Refuses a body with a `Content-Encoding` other than `identity`.
pub async fn refuse_encoded_bodies(request: Request, next: Next) -> Response {
    let is_empty = request.body().is_end_stream();
    match encoding(request.headers()).filter(|_| !is_empty) {
        None => next.run(request).await,
        Some(given) => {
            linger(request.into_body().into_data_stream());
            Error::EncodedBody { given }.into_response()
        }
    }
}

/// The named encodings, if one of them changes the body.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let named: Vec<_> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let named = named.join(", ");
    let is_identity = |name: &str| {
        let name = name.trim();
        name.is_empty() || name.eq_ignore_ascii_case("identity")
    };
    (!named.split(',').all(is_identity)).then_some(named)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        encoding(&headers)
    }

    #[test]
    fn every_encoding_of_every_header_is_checked() {
        for plain in [&[][..], &[""], &["identity"], &["Identity, identity"], &["identity", ""]] {
            assert_eq!(of(plain), None, "{plain:?}");
        }
        assert_eq!(of(&["gzip"]).as_deref(), Some("gzip"));
        assert_eq!(of(&["identity", "zstd"]).as_deref(), Some("identity, zstd"));
        assert_eq!(of(&["identity,br"]).as_deref(), Some("identity,br"));
    }
}
