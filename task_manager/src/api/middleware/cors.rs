//! Cross-origin requests (CORS): pages of the origins that the operator names may use the API.
//!
//! # Invariants
//! - Without a setting there are no CORS headers, so browsers keep pages of other sites out.
//! - Every header of a response may be read by such a page: an upload needs them to continue.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use super::request_id::REQUEST_ID;
use crate::api::request::resumable::{
    TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION,
    UPLOAD_COMPLETE, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH,
    UPLOAD_LIMIT, UPLOAD_METADATA, UPLOAD_OFFSET,
};
use crate::api::response::resumable::{TASK_ID, TASK_RESUMED};

/// How long a browser remembers that it may send requests.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The headers of responses that pages may read, beside those that they always may.
fn exposed() -> Vec<HeaderName> {
    vec![
        header::ACCEPT_RANGES,
        header::ALLOW,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ETAG,
        header::LOCATION,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        REQUEST_ID.clone(),
        TASK_ID,
        TASK_RESUMED,
        TUS_CHECKSUM_ALGORITHM,
        TUS_EXTENSION,
        TUS_MAX_SIZE,
        TUS_RESUMABLE,
        TUS_VERSION,
        UPLOAD_COMPLETE,
        UPLOAD_CONCAT,
        UPLOAD_DEFER_LENGTH,
        UPLOAD_EXPIRES,
        UPLOAD_LENGTH,
        UPLOAD_LIMIT,
        UPLOAD_METADATA,
        UPLOAD_OFFSET,
    ]
}

/// The origins whose pages may use the API. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins {
    origins: Arc<[HeaderValue]>,
    any: bool,
}

impl AllowedOrigins {
    /// The origins of a setting: `*` for any, or a list like `https://files.example.org`.
    ///
    /// # Errors
    /// One of them is not an origin.
    pub fn parse(given: &[String]) -> Result<Self, String> {
        if given == ["*"] {
            return Ok(Self { any: true, ..Self::default() });
        }
        let origins = given.iter().map(|origin| {
            let origin = origin.to_ascii_lowercase();
            parse_origin(&origin).ok_or_else(|| {
                format!(
                    "`{origin}` is not an origin such as https://files.example.org, without a path"
                )
            })
        });
        Ok(Self { origins: origins.collect::<Result<_, _>>()?, any: false })
    }

    /// Whether pages of any site are allowed.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Whether a page of this origin is allowed.
    pub fn contains(&self, origin: &str) -> bool {
        self.any || self.origins.iter().any(|allowed| allowed == origin)
    }

    /// The layer that allows them; none if there are none.
    pub fn layer(&self) -> Option<CorsLayer> {
        let allowed = match self.any {
            true => AllowOrigin::any(),
            false if self.origins.is_empty() => return None,
            false => AllowOrigin::list(self.origins.iter().cloned()),
        };
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(METHODS)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::list(exposed()))
            .max_age(MAX_AGE);
        Some(layer)
    }
}

/// Scheme, host and port, as browsers send them.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let (scheme, rest) = text.split_once("://")?;
    let is_web = matches!(scheme, "http" | "https") && !rest.is_empty();
    let is_plain = !rest.contains(['/', '?', '#', '@', ' ', '*', ',']);
    (is_web && is_plain).then(|| HeaderValue::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str]) -> Result<AllowedOrigins, String> {
        let given: Vec<String> = given.iter().map(|origin| (*origin).to_owned()).collect();
        AllowedOrigins::parse(&given)
    }

    #[test]
    fn origins_are_compared_as_browsers_send_them() {
        let allowed = parse(&["https://Files.example.org", "http://localhost:3000"]).unwrap();
        assert!(allowed.contains("https://files.example.org"));
        assert!(allowed.contains("http://localhost:3000"));
        for other in ["http://files.example.org", "https://example.org", "null", ""] {
            assert!(!allowed.contains(other), "{other}");
        }
        assert!(parse(&["*"]).unwrap().contains("https://any.example"));
        assert!(parse(&[]).unwrap().layer().is_none());
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for wrong in
            ["files.example.org", "https://", "https://a/", "https://a/b", "ftp://a", "null", "*.a"]
        {
            let error = parse(&["https://ok.example", wrong]).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
