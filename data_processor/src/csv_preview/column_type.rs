//! The type of a value, and the narrowest type of several values.

use chrono::{DateTime, NaiveDate};
use common::csv_preview::ColumnType;

/// The narrowest type that includes both `before` and the type of `value`.
pub(super) fn type_of(before: ColumnType, value: &[u8]) -> ColumnType {
    // Text is the widest type.
    if before == ColumnType::Text {
        return before;
    }
    match (before, own_type(value)) {
        (ColumnType::Empty, own) => own,
        (before, own) if before == own => own,
        (ColumnType::Integer | ColumnType::Decimal, ColumnType::Integer | ColumnType::Decimal) => {
            ColumnType::Decimal
        }
        _ => ColumnType::Text,
    }
}

/// The type of one value, which is not empty.
fn own_type(value: &[u8]) -> ColumnType {
    let Ok(text) = std::str::from_utf8(value) else { return ColumnType::Text };
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return ColumnType::Boolean;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    match digits.split_once('.') {
        None if are_digits(digits) => return ColumnType::Integer,
        Some((whole, places)) if are_digits(whole) && are_digits(places) => {
            return ColumnType::Decimal;
        }
        _ => {}
    }
    // The parser accepts days and months without leading zeros; a date has them.
    if text.len() == 10 && text.parse::<NaiveDate>().is_ok() {
        return ColumnType::Date;
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(_) => ColumnType::Timestamp,
        Err(_) => ColumnType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_type() {
        for (value, expected) in [
            ("0", ColumnType::Integer),
            ("-99999999999999999999999", ColumnType::Integer),
            ("1.", ColumnType::Text),
            (".5", ColumnType::Text),
            ("1e3", ColumnType::Text),
            ("1,5", ColumnType::Text),
            ("+1.50", ColumnType::Decimal),
            ("2023-02-29", ColumnType::Text),
            ("2024-2-9", ColumnType::Text),
            ("2024-02-29", ColumnType::Date),
            ("2024-02-29T00:00:00", ColumnType::Text),
            ("2024-02-29 00:00:00Z", ColumnType::Timestamp),
            ("tRUE", ColumnType::Boolean),
            (" 1", ColumnType::Text),
        ] {
            assert_eq!(own_type(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(own_type(b"\xFF"), ColumnType::Text);
    }

    #[test]
    fn numbers_widen_and_other_mixtures_are_text() {
        let of = |values: &[&str]| {
            values.iter().fold(ColumnType::Empty, |before, value| type_of(before, value.as_bytes()))
        };
        assert_eq!(of(&["1", "1.5", "2"]), ColumnType::Decimal);
        assert_eq!(of(&["1", "true"]), ColumnType::Text);
        assert_eq!(of(&["2020-01-01", "2020-01-01T00:00:00Z"]), ColumnType::Text);
    }
}
