//! Events as clients send them, and their validation.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Timelike, Utc};
use common::problem::ErrorLocation;
use common::user_event::{Address, UserEvent};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::paging::Period;

/// The longest text, in characters.
const LONGEST: usize = 100;

/// An event of a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserEventRequest)]
pub struct UserEventDocument {
    /// Identifies it among your events: a text of 1 to 100 characters, or a whole number. Blanks
    /// around it do not count.
    #[schema(value_type = UserEventText, example = "7a61b3c6-4f4e-4b8e-9d5c-0c1f8f6f2d11")]
    id: Text,
    /// Where it happened.
    address: AddressDocument,
    /// When it happened, from 1970 to 9999: RFC 3339; a blank may stand for the `T`, and a time
    /// without a zone is UTC.
    #[schema(example = "2019-05-07 19:54:13.563")]
    datetime: String,
}

/// Where an event happened: texts of 1 to 100 characters. Blanks around them do not count.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = UserEventAddress)]
pub struct AddressDocument {
    /// The city.
    #[schema(value_type = UserEventText, example = "Portland")]
    city: Text,
    /// The state, province or region.
    #[schema(value_type = UserEventText, example = "Oregon")]
    state: Text,
    /// The country.
    #[schema(value_type = UserEventText, example = "United States")]
    country: Text,
    /// The post code; may be a whole number.
    #[schema(value_type = UserEventText, example = "97201")]
    post_code: Text,
}

/// A text; numbers are converted.
#[derive(Debug)]
struct Text(String);

/// A text that is not blank, without control characters, of up to 100 characters without the blanks
/// around it; or a whole number.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the texts in the OpenAPI document")]
pub enum UserEventText {
    /// A text.
    Text(UserEventString),
    /// A whole number, which is converted to a text.
    Number(i128),
}

/// A text of 1 to 100 characters, without control characters. Blanks around it do not count.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,98}[^\s\x00-\x1f\x7f-\x9f])?\s*$")]
#[expect(dead_code, reason = "describes the texts in the OpenAPI document")]
pub struct UserEventString(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}

/// Collects the error of an invalid field.
fn collect<T>(
    errors: &mut Vec<ErrorLocation>,
    path: &str,
    field: &str,
    checked: Result<T, String>,
) -> Option<T> {
    let add = |reason| errors.push(ErrorLocation::field(format!("{path}{field}"), reason));
    checked.map_err(add).ok()
}

impl UserEventDocument {
    /// The event if it is valid; otherwise adds errors, with `path` before their fields.
    pub fn check(self, path: &str, errors: &mut Vec<ErrorLocation>) -> Option<UserEvent> {
        let Self { id, address, datetime } = self;
        let AddressDocument { city, state, country, post_code } = address;
        // Every field is checked, so that all errors are reported together.
        let id = collect(errors, path, "id", text(&id));
        let city = collect(errors, path, "address.city", text(&city));
        let state = collect(errors, path, "address.state", text(&state));
        let country = collect(errors, path, "address.country", text(&country));
        let post_code = collect(errors, path, "address.postCode", text(&post_code));
        let datetime = collect(errors, path, "datetime", time(&datetime));
        Some(UserEvent {
            id: id?,
            address: Address {
                city: city?,
                state: state?,
                country: country?,
                post_code: post_code?,
            },
            datetime: datetime?,
        })
    }
}

fn text(Text(given): &Text) -> Result<String, String> {
    let text = given.trim();
    let length = text.chars().count();
    if length == 0 {
        return Err("is empty; it takes at least one character that is not blank".to_owned());
    }
    if length > LONGEST {
        return Err(format!("has {length} characters; up to {LONGEST} are accepted"));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character, such as a line break".to_owned());
    }
    Ok(text.to_owned())
}

fn time(given: &str) -> Result<DateTime<Utc>, String> {
    let text = given.trim().replacen(' ', "T", 1);
    let with_zone = DateTime::parse_from_rfc3339(&text).map(|time| time.naive_utc());
    let time = with_zone.or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f"));
    let Ok(time) = time else {
        return Err(format!(
            "`{given}` is not a time such as 2019-05-07T19:54:13.563Z or 2019-05-07 19:54:13.563"
        ));
    };
    // Databases have no leap seconds: one becomes the end of the second before it.
    let time = time.with_nanosecond(time.nanosecond().min(999_999_999)).unwrap_or(time);
    let time = time.trunc_subsecs(6);
    let (earliest, latest) = Period::bounds();
    if !(earliest..latest).contains(&time) {
        return Err(format!("`{given}` is not from {earliest} on and before {latest}"));
    }
    Ok(time.and_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "id": "a-1",
            "address": {"city": "Portland", "state": "Oregon", "country": "USA", "postCode": "97201"},
            "datetime": "2019-05-07 19:54:13.563",
        })
    }

    fn check(event: Value) -> Result<UserEvent, Vec<ErrorLocation>> {
        let document: UserEventDocument = serde_json::from_value(event).unwrap();
        let mut errors = Vec::new();
        document.check("[7].", &mut errors).ok_or(errors)
    }

    #[test]
    fn times_are_accepted_in_common_spellings() {
        for (given, expected) in [
            ("2019-05-07 19:54:13.563", "2019-05-07T19:54:13.563Z"),
            ("2019-05-07T19:54:13.563", "2019-05-07T19:54:13.563Z"),
            ("2019-05-07T19:54:13Z", "2019-05-07T19:54:13Z"),
            ("2019-05-07 21:54:13+02:00", "2019-05-07T19:54:13Z"),
            (" 2019-05-07T19:54:13.123456789Z ", "2019-05-07T19:54:13.123456Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
            ("2038-01-19 03:14:08", "2038-01-19T03:14:08Z"),
            ("9999-12-31 23:59:59", "9999-12-31T23:59:59Z"),
        ] {
            let time =
                time(given).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
            assert_eq!(time.as_deref(), Ok(expected), "{given}");
        }
        for given in [
            "",
            "yesterday",
            "2019-05-07",
            "19:54:13",
            "2019-02-29 00:00:00",
            "2019-05-07 25:00:00",
            "07.05.2019 19:54:13",
            "1557258853",
            "2019-05-07 19:54:13 Europe/Berlin",
        ] {
            assert!(time(given).unwrap_err().contains("is not a time such as"), "{given}");
        }
        for given in ["1815-12-10 00:00:00", "9999-12-31T23:59:59-01:00"] {
            assert!(time(given).unwrap_err().contains("is not from 1970"), "{given}");
        }
    }

    #[test]
    fn values_are_trimmed_and_numbers_become_strings() {
        let mut given = event();
        given["id"] = json!(42);
        given["address"]["postCode"] = json!(97201);
        given["address"]["city"] = json!("  São Paulo\t");
        let event = check(given).unwrap();
        assert_eq!((event.id.as_str(), event.address.post_code.as_str()), ("42", "97201"));
        assert_eq!(event.address.city, "São Paulo");
    }

    #[test]
    fn every_invalid_field_is_named() {
        for (pointer, value, reason) in [
            ("/id", json!(""), "[7].id: is empty"),
            ("/id", json!("x".repeat(101)), "[7].id: has 101 characters"),
            ("/address/city", json!(" \n"), "[7].address.city: is empty"),
            ("/address/state", json!("a\nb"), "[7].address.state: contains a control character"),
            ("/address/country", json!(""), "[7].address.country: is empty"),
            ("/address/postCode", json!(""), "[7].address.postCode: is empty"),
            ("/datetime", json!("soon"), "[7].datetime: `soon` is not a time"),
        ] {
            let mut given = event();
            *given.pointer_mut(pointer).unwrap() = value;
            let errors = check(given).unwrap_err();
            let error = format!("{}: {}", errors[0].field.as_deref().unwrap(), errors[0].reason);
            assert!(error.starts_with(reason) && errors.len() == 1, "{pointer}: {errors:?}");
        }
        assert!(
            check({
                let mut longest = event();
                longest["id"] = json!("é".repeat(100));
                longest
            })
            .is_ok()
        );
    }
}
