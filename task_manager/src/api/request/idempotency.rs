//! The header `Idempotency-Key`.

use axum::http::request::Parts;

use crate::error::Error;
use crate::idempotency::Key;

/// The header's name.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key that is accepted, in characters.
const LONGEST: usize = 255;

/// The request's key, if it has one; `scope` separates the keys of users.
///
/// # Errors
/// The key is malformed, or there is more than one.
pub fn key(parts: &Parts, scope: &str) -> Result<Option<Key>, Error> {
    let mut given = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|text| {
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match text {
        Some(text) if given.next().is_none() => {
            Ok(Some(Key::new(scope, parts.method.as_str(), parts.uri.path(), text)))
        }
        _ => Err(Error::BadRequest(format!(
            "The Idempotency-Key must be one text of 1 to {LONGEST} visible ASCII characters, such \
             as a UUID."
        ))),
    }
}
