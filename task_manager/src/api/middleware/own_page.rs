//! Requests that change something by the session cookie must come from a page of this server: a
//! browser attaches the cookie by itself, whichever page makes the request (CSRF).
//!
//! # Invariants
//! - A request with an unsafe method names its origin, and it is this server.
//! - A request with a safe method may have no origin, but no foreign one.
//!
//! # Not here
//! The attribute `SameSite=Strict` of the cookie (`api::session_cookie`), which keeps browsers from
//! sending it for other sites. It is no protection from another server of the same site, such as
//! one on another port.

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::host::Host;
use crate::error::Error;

/// Refuses a request whose cookie a page of another server may have sent.
///
/// # Errors
/// [`Error::CookieOfForeignPage`]
pub fn check(parts: &Parts, is_tls: bool) -> Result<(), Error> {
    let headers = &parts.headers;
    let host = parts.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| single(headers, header::HOST.as_str())).unwrap_or_default();
    let is_named = headers.contains_key(header::ORIGIN);
    let is_own = || single(headers, "origin").is_some_and(|origin| is_own(origin, host, is_tls));
    let is_accepted = match parts.method.is_safe() {
        true => !is_named || is_own(),
        false => is_own() && !is_sent_for_another_origin(headers),
    };
    if is_accepted { Ok(()) } else { Err(Error::CookieOfForeignPage) }
}

/// Whether the browser says so. It sends the header to servers with TLS and to this machine.
fn is_sent_for_another_origin(headers: &HeaderMap) -> bool {
    let name = "sec-fetch-site";
    headers.contains_key(name) && single(headers, name) != Some("same-origin")
}

/// The value of a header that is sent once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Whether an origin is that of `host`. The server does not see which scheme is in use, except that
/// a proxy reports TLS; then a page without TLS may be forged.
fn is_own(origin: &str, host: &str, is_tls: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "https" => 443,
        "http" if !is_tls => 80,
        _ => return false,
    };
    let named = Host::parse_or_port(authority, port);
    named.is_some() && named == Host::parse_or_port(host, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(method: &str, is_tls: bool, headers: &[(&str, &str)]) -> bool {
        let request = axum::http::Request::builder().method(method).uri("/v1/tasks");
        let request = request.header("host", "tasks.example:5000");
        let add = |request: axum::http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let request = headers.iter().fold(request, add).body(()).unwrap();
        check(&request.into_parts().0, is_tls).is_ok()
    }

    const OWN: (&str, &str) = ("origin", "http://tasks.example:5000");

    #[test]
    fn changes_must_come_from_a_page_of_the_same_origin() {
        let site = |value| ("sec-fetch-site", value);
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(is_accepted(method, false, &[OWN]), "{method}");
            assert!(is_accepted(method, false, &[OWN, site("same-origin")]), "{method}");
            assert!(!is_accepted(method, false, &[]), "{method} without an origin");
            assert!(!is_accepted(method, false, &[site("same-origin")]), "{method}");
            assert!(!is_accepted(method, false, &[OWN, OWN]), "{method} with two origins");
            for other in ["cross-site", "same-site", "none", ""] {
                assert!(!is_accepted(method, false, &[OWN, site(other)]), "{method} {other}");
            }
        }
    }

    #[test]
    fn foreign_origins_are_refused_for_every_method() {
        for origin in [
            "http://tasks.example",
            "http://tasks.example:5001",
            "http://www.tasks.example:5000",
            "http://tasks.example:5000.evil.example",
            "http://tasks.example:5000/",
            "http://x@tasks.example:5000",
            "https://evil.example",
            "ftp://tasks.example:5000",
            "tasks.example:5000",
            "null",
            "",
        ] {
            for method in ["GET", "HEAD", "POST", "DELETE"] {
                assert!(!is_accepted(method, false, &[("origin", origin)]), "{method} {origin}");
            }
        }
    }

    #[test]
    fn reading_needs_no_origin() {
        assert!(is_accepted("GET", false, &[]));
        assert!(is_accepted("GET", false, &[("sec-fetch-site", "none")]));
        assert!(is_accepted("GET", false, &[OWN]));
    }

    #[test]
    fn behind_tls_pages_without_it_are_refused() {
        assert!(!is_accepted("POST", true, &[OWN]));
        assert!(is_accepted("POST", true, &[("origin", "https://tasks.example:5000")]));
        for (origin, host, is_tls, expected) in [
            ("https://tasks.example", "tasks.example", true, true),
            ("https://tasks.example", "tasks.example:443", true, true),
            ("https://tasks.example", "tasks.example:80", true, false),
            ("https://tasks.example", "tasks.example", false, true),
            ("http://tasks.example", "Tasks.example:80", false, true),
            ("http://tasks.example", "", false, false),
        ] {
            assert_eq!(is_own(origin, host, is_tls), expected, "{origin} {host} {is_tls}");
        }
    }
}
