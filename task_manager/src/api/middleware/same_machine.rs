//! If no login is required, a web page in a browser on this machine must not be able to use the
//! API.
//!
//! # Invariants
//! - The server is addressed by a name of this machine. A foreign name that resolves to it (DNS
//!   rebinding) is refused.
//! - A request that a browser sends for a page comes from a page of this server. Other sites may
//!   only link here.
//!
//! By hand: `CsrfLayer` of tower-http allows every GET and does not check the server's own name.
//!
//! # Not here
//! Servers that require a login: a browser adds no token by itself. The
//! headers that let pages of allowed sites read responses (`cors`).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::cors::AllowedOrigins;
use super::host::Host;
use crate::error::Error;

/// Refuses requests that name a foreign host, and requests from pages of other sites, except those
/// that the operator allows.
pub async fn same_machine(
    State(allowed): State<AllowedOrigins>,
    request: Request,
    next: Next,
) -> Response {
    match check(&allowed, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(
    allowed: &AllowedOrigins,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST.as_str()).or(uri.authority().map(|authority| authority.as_str()));
    let host = host.and_then(Host::parse).filter(Host::is_this_machine);
    let host = host.ok_or(Error::ForeignHost)?;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let origin = origin.to_str().unwrap_or_default();
        let is_single = origins.next().is_none();
        let is_own = Host::of_origin(origin) == Some(host);
        return if is_single && (is_own || allowed.contains(origin)) {
            Ok(())
        } else {
            Err(Error::ForeignOrigin)
        };
    }
    // A request of another site's page may have no Origin header. Links from it are allowed.
    let is_foreign = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
    let is_harmless = matches!(*method, Method::GET | Method::HEAD);
    if is_foreign && !is_harmless { Err(Error::ForeignOrigin) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: &str, headers: &[(&str, &str)]) -> &'static str {
        let mut request = axum::http::Request::builder().method(method).uri("/v1/tasks");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let allowed = AllowedOrigins::parse(&["https://friend.example".to_owned()]).unwrap();
        match check(&allowed, request.method(), request.uri(), request.headers()) {
            Ok(()) => "ok",
            Err(Error::ForeignHost) => "host",
            Err(Error::ForeignOrigin) => "origin",
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        for host in ["localhost:5000", "LOCALHOST", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000"] {
            assert_eq!(code("GET", &[("host", host)]), "ok", "{host}");
        }
        for host in [
            "evil.example:5000",
            "localhost.evil.example",
            "localhost:5000.evil.example",
            "localhost:5000@evil.example",
            "x@localhost",
            "localhost.",
            "10.0.0.1",
            "",
            "a b",
            ":5000",
        ] {
            assert_eq!(code("GET", &[("host", host)]), "host", "{host}");
        }
        assert_eq!(code("GET", &[]), "host");
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:5000");
        for (method, name, value, expected) in [
            ("POST", "origin", "http://127.0.0.1:5000", "ok"),
            ("POST", "origin", "HTTP://127.0.0.1:5000", "ok"),
            ("POST", "origin", "http://127.0.0.1:5001", "origin"),
            ("POST", "origin", "http://127.0.0.1", "origin"),
            ("POST", "origin", "http://127.0.0.1:5000.evil.example", "origin"),
            ("POST", "origin", "http://127.0.0.1:5000/", "origin"),
            ("POST", "origin", "http://x@127.0.0.1:5000", "origin"),
            ("POST", "origin", "http://localhost:5000", "origin"),
            ("POST", "origin", "https://127.0.0.1:5000", "origin"),
            ("POST", "origin", "https://evil.example", "origin"),
            ("GET", "origin", "https://evil.example", "origin"),
            ("POST", "origin", "https://friend.example", "ok"),
            ("POST", "origin", "http://friend.example", "origin"),
            ("POST", "origin", "null", "origin"),
            ("POST", "origin", "", "origin"),
            ("POST", "sec-fetch-site", "cross-site", "origin"),
            ("DELETE", "sec-fetch-site", "same-site", "origin"),
            ("POST", "sec-fetch-site", "same-origin", "ok"),
            ("GET", "sec-fetch-site", "cross-site", "ok"),
        ] {
            assert_eq!(code(method, &[host, (name, value)]), expected, "{method} {name} {value}");
        }
        let own = ("origin", "http://127.0.0.1:5000");
        assert_eq!(code("POST", &[host, own, own]), "origin", "more than one header");
        let (host, origin) = (("host", "LocalHost"), ("origin", "http://localhost:80"));
        assert_eq!(code("POST", &[host, origin]), "ok", "the default port");
    }
}
