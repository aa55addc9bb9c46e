//! The rules for a key that a user makes.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use common::clock;
use common::problem::ErrorLocation;

use super::scopes::{Scope, Scopes};
use crate::error::Error;

/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The last year that the databases store.
const LAST_YEAR: i32 = 9999;

/// When a key expires, as its user says it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expiry {
    /// In so many seconds.
    pub seconds: Option<u64>,
    /// At this time.
    pub at: Option<DateTime<Utc>>,
}

impl Expiry {
    /// The time, or none for a key that never expires.
    fn time(self) -> Result<Option<DateTime<Utc>>, ErrorLocation> {
        let now = clock::now();
        let (field, time) = match (self.seconds, self.at) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let reason = "cannot be combined with expires_at";
                return Err(ErrorLocation::field("expires_in", reason));
            }
            (Some(seconds), None) => {
                let seconds = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
                ("expires_in", seconds.and_then(|seconds| now.checked_add_signed(seconds)))
            }
            (None, Some(at)) => ("expires_at", Some(at)),
        };
        match time {
            Some(time) if time <= now => Err(ErrorLocation::field(field, "must be in the future")),
            Some(time) if time.year() <= LAST_YEAR => Ok(Some(time)),
            _ => Err(ErrorLocation::field(field, format!("is after the year {LAST_YEAR}"))),
        }
    }
}

/// A valid name, scopes and expiry.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// Checks them all; spaces around the name are dropped.
    ///
    /// # Errors
    /// Each invalid field, in words.
    pub fn parse(name: &str, scopes: &[Scope], expiry: Expiry) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let name = name.trim();
        if !(1..=LONGEST_NAME).contains(&name.chars().count()) {
            let reason = format!("must be 1 to {LONGEST_NAME} characters");
            errors.push(ErrorLocation::field("name", reason));
        } else if name.chars().any(char::is_control) {
            errors.push(ErrorLocation::field("name", "must not contain control characters"));
        }
        if scopes.is_empty() {
            let reason = "must name at least one of read, write and admin";
            errors.push(ErrorLocation::field("scopes", reason));
        }
        let expires_at = expiry.time().unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if !errors.is_empty() {
            return Err(Error::InvalidParameters(errors));
        }
        Ok(Self { name: name.to_owned(), scopes: Scopes::of(scopes), expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_field_is_named() {
        let fields = |name: &str, scopes: &[Scope], seconds, at| match NewKey::parse(
            name,
            scopes,
            Expiry { seconds, at },
        ) {
            Ok(_) => Vec::new(),
            Err(Error::InvalidParameters(errors)) => {
                errors.into_iter().filter_map(|error| error.field).collect()
            }
            Err(error) => panic!("{error:?}"),
        };
        let read = &[Scope::Read];
        let long_ago = Some(DateTime::UNIX_EPOCH);
        assert!(fields(&"ä".repeat(100), read, Some(1), None).is_empty());
        assert!(fields(" nightly export ", read, None, None).is_empty());
        assert_eq!(fields("", &[], Some(0), None), ["name", "scopes", "expires_in"]);
        assert_eq!(fields(&"a".repeat(101), read, Some(u64::MAX), None), ["name", "expires_in"]);
        assert_eq!(fields("a\nb", read, None, long_ago), ["name", "expires_at"]);
        assert_eq!(fields("a", read, Some(9_999_999_999_999), None), ["expires_in"]);
        assert_eq!(fields("a", read, Some(60), long_ago), ["expires_in"]);
    }
}
