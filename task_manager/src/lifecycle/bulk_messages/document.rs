//! One document of a bulk request.

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use common::message::Category;
use common::task::UserId;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::kinds::message_validation::{NewMessage, check};
use crate::paging::Period;
use crate::strict_json;

/// A message to store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageDocument {
    /// Up to 16 KiB of UTF-8, not only blanks.
    #[schema(
        example = "The parcel has arrived.",
        min_length = 1,
        max_length = 16384,
        pattern = r"\S"
    )]
    message: String,
    /// How it was validated; `Direct` if absent.
    category: Option<Category>,
    /// When it was accepted: a time of 1970 to 9999; if absent, now.
    created_at: Option<DateTime<Utc>>,
    /// 1 for the user's first message, 2 for the second.
    #[schema(example = 1)]
    request_count: Option<u64>,
    /// If present, it must be the caller: no user may store messages of others.
    user_id: Option<Uuid>,
}

/// Parses the JSON text `content` as a message of `user`; an error says why it is invalid.
pub(super) fn read(content: &[u8], user: UserId, now: NaiveDateTime) -> Result<NewMessage, String> {
    let document: MessageDocument = strict_json::from_slice(content)
        .map_err(|reason| format!("is not a valid document: {reason}"))?;
    let MessageDocument { message, category, created_at, request_count, user_id } = document;
    check(&message).map_err(|reason| format!("message: {reason}"))?;
    if user_id.is_some_and(|id| id != user.0) {
        return Err("user_id: is not the caller's; leave it out".to_owned());
    }
    if request_count.is_some_and(|count| i64::try_from(count).is_err()) {
        return Err("request_count: is too large a number".to_owned());
    }
    let created_at = match created_at.map(|time| time.naive_utc().trunc_subsecs(6)) {
        None => now,
        Some(time) => {
            let (earliest, latest) = Period::bounds();
            if !(earliest..latest).contains(&time) {
                return Err(format!("created_at: is not from {earliest} on and before {latest}"));
            }
            time
        }
    };
    Ok(NewMessage {
        id: Uuid::now_v7(),
        user,
        message,
        request_count,
        category: category.unwrap_or(Category::Direct),
        created_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId(Uuid::from_u128(7));

    fn reading(json: &str) -> Result<NewMessage, String> {
        read(json.as_bytes(), USER, NaiveDateTime::default())
    }

    #[test]
    fn missing_fields_have_defaults() {
        let message = reading(r#"{"message": " hi "}"#).unwrap();
        assert_eq!((message.message.as_str(), message.category), (" hi ", Category::Direct));
        assert_eq!((message.request_count, message.created_at), (None, NaiveDateTime::default()));
        let full = format!(
            r#"{{"message": "hi", "category": "Failed", "created_at": "2026-01-31T13:00:00.1234567+01:00", "request_count": 3, "user_id": "{}"}}"#,
            USER.0
        );
        let message = reading(&full).unwrap();
        assert_eq!(message.created_at.to_string(), "2026-01-31 12:00:00.123456");
        assert_eq!((message.category, message.request_count), (Category::Failed, Some(3)));
        let far = reading(r#"{"message": "hi", "created_at": "9999-12-31T23:59:59Z"}"#).unwrap();
        assert_eq!(far.created_at.to_string(), "9999-12-31 23:59:59");
    }

    #[test]
    fn invalid_fields_are_described_in_words() {
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(16_385));
        for (json, reason) in [
            ("", "is not a valid document: EOF"),
            ("7", "invalid type: integer"),
            (r#"["a"]"#, "invalid type: an array, expected an object"),
            ("{}", "missing field `message`"),
            (r#"{"message": "  "}"#, "message: is empty"),
            (r#"{"message": null}"#, "invalid type: null"),
            (long.as_str(), "message: has 16385 bytes"),
            (r#"{"message": "a", "colour": 1}"#, "unknown field `colour`"),
            (
                r#"{"message": "a", "category": "direct"}"#,
                "unknown variant `direct`, expected one of `Direct`",
            ),
            (r#"{"message": "a", "created_at": "yesterday"}"#, "is not a valid document"),
            (
                r#"{"message": "a", "created_at": "1815-12-10T00:00:00Z"}"#,
                "created_at: is not from",
            ),
            (r#"{"message": "a", "request_count": -1}"#, "is not a valid document"),
            (r#"{"message": "a", "request_count": 18446744073709551615}"#, "request_count: is too"),
            (
                r#"{"message": "a", "user_id": "00000000-0000-0000-0000-000000000001"}"#,
                "user_id: is not",
            ),
            (r#"{"message": "a"} x"#, "trailing characters"),
        ] {
            let given = reading(json).unwrap_err();
            assert!(given.contains(reason), "{json}: {given}");
        }
    }
}
