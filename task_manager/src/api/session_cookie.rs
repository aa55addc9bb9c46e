//! The cookie that keeps the token of a browser's session.
//!
//! # Invariants
//! - Scripts cannot read it (`HttpOnly`), and browsers do not send it for other sites
//!   (`SameSite=Strict`).
//! - Behind TLS it is never sent without TLS (`Secure`), and its name begins with `__Host-`: then a
//!   browser accepts it from this host only, so that no other one can replace a session.
//!
//! # Not here
//! Whether a request with the cookie comes from a page of this server
//! (`api::middleware::own_page`).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use chrono::{DateTime, Utc};
use common::clock;
use tracing::error;

use crate::error::Error;

/// Its name, with and without TLS.
fn name(is_tls: bool) -> &'static str {
    if is_tls { "__Host-session" } else { "session" }
}

/// The token of a request's cookie; if there are several of the name, the first one.
pub fn token(headers: &HeaderMap, is_tls: bool) -> Option<&str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(given, _)| given.trim() == name(is_tls)).map(|(_, token)| token.trim())
}

/// The header that stores a token until it expires.
///
/// # Errors
/// The token is no valid text of a header, which is a bug.
pub fn set(
    token: &str,
    expires_at: DateTime<Utc>,
    is_tls: bool,
) -> Result<(HeaderName, HeaderValue), Error> {
    let seconds = (expires_at - clock::now()).num_seconds().max(0);
    header_of(token, seconds, is_tls)
}

/// The header that removes the token.
///
/// # Errors
/// Those of [`set`].
pub fn clear(is_tls: bool) -> Result<(HeaderName, HeaderValue), Error> {
    header_of("", 0, is_tls)
}

fn header_of(token: &str, seconds: i64, is_tls: bool) -> Result<(HeaderName, HeaderValue), Error> {
    let name = name(is_tls);
    let secure = if is_tls { "; Secure" } else { "" };
    let text =
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        error!("a token is no valid text of a cookie");
        Error::Internal
    })?;
    value.set_sensitive(true);
    Ok((header::SET_COOKIE, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for text in cookies {
            headers.append(header::COOKIE, HeaderValue::from_static(text));
        }
        headers
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for cookies in [
            &["session=abc"][..],
            &["a=b; session=abc; c=d"],
            &["a=b;session=abc"],
            &["a=b", "session=abc"],
            &["flag; session=abc; session=other"],
        ] {
            assert_eq!(token(&headers(cookies), false), Some("abc"), "{cookies:?}");
        }
        for cookies in [&["Session=abc"][..], &["xsession=abc"], &["a=session=abc"], &["session"]] {
            assert_eq!(token(&headers(cookies), false), None, "{cookies:?}");
        }
    }

    #[test]
    fn behind_tls_only_the_cookie_of_this_host_is_accepted() {
        let both = headers(&["session=forged; __Host-session=abc"]);
        assert_eq!(token(&both, true), Some("abc"));
        assert_eq!(token(&headers(&["session=forged"]), true), None);
        let (_, set) = set("abc", clock::now(), true).unwrap();
        let expected = "__Host-session=abc; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set, expected);
        assert!(set.is_sensitive());
    }
}
