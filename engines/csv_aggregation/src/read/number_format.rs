//! Whole numbers that are written with separators of thousands or a fraction of zeros, as told by
//! [`NumberFormat`]. Plain numbers never come here: they are parsed by [`super::number`].

use crate::options::{NumberFormat, Thousands};
use crate::read::number::{NotANumber, number};

/// The maximum length of a number without its separators. Longer ones are out of range, unless they
/// start with zeros.
const MAX_DIGITS: usize = 40;

/// Parses a number in any of the permitted forms.
pub(crate) fn formatted(text: &[u8], format: NumberFormat) -> Result<i64, NotANumber> {
    match number(text) {
        Err(NotANumber::Other) if format != NumberFormat::default() => separated(text, format),
        parsed => parsed,
    }
}

fn separated(text: &[u8], format: NumberFormat) -> Result<i64, NotANumber> {
    let at = format.decimal.and_then(|point| memchr::memchr(point, text));
    let (whole, fraction) = match at {
        None => (text, None),
        Some(at) => (&text[..at], Some(&text[at + 1..])),
    };
    let whole = grouped(whole, format.thousands)?;
    match fraction {
        Some([]) => Err(NotANumber::Other),
        Some(digits) if !digits.iter().all(u8::is_ascii_digit) => Err(NotANumber::Other),
        Some(digits) if digits.iter().any(|digit| *digit != b'0') => Err(NotANumber::Fraction),
        Some(_) | None => Ok(whole),
    }
}

/// Parses a whole number whose digits may be in groups of three.
fn grouped(text: &[u8], thousands: Option<Thousands>) -> Result<i64, NotANumber> {
    let Some(thousands) = thousands else { return number(text) };
    let (sign, mut rest) = match text {
        [b'-', digits @ ..] => (&text[..1], digits),
        digits => (&text[..0], digits),
    };
    let mut plain = [0; MAX_DIGITS];
    let mut length = 0;
    let mut push = |bytes: &[u8]| -> Result<(), NotANumber> {
        let room = plain.get_mut(length..length + bytes.len()).ok_or(NotANumber::TooLarge)?;
        room.copy_from_slice(bytes);
        length += bytes.len();
        Ok(())
    };
    push(sign)?;
    let mut is_first = true;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (group, after) = rest.split_at(digits);
        // A number without separators may have any length.
        let is_group = match (is_first, after.is_empty()) {
            (true, true) => digits > 0,
            (true, false) => (1..=3).contains(&digits),
            (false, _) => digits == 3,
        };
        if !is_group {
            return Err(NotANumber::Other);
        }
        push(group)?;
        is_first = false;
        match thousands.strip(after) {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return Err(NotANumber::Other),
        }
    }
    number(&plain[..length])
}

impl Thousands {
    /// What follows a separator at the start of `text`.
    fn strip(self, text: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Byte(byte) => text.strip_prefix(&[byte]),
            // An ordinary blank, and those that do not break lines: U+00A0 and U+202F.
            Self::Blank => [&b" "[..], b"\xC2\xA0", b"\xE2\x80\xAF"]
                .iter()
                .find_map(|blank| text.strip_prefix(*blank)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: NumberFormat =
        NumberFormat { decimal: Some(b','), thousands: Some(Thousands::Byte(b'.')) };

    #[test]
    fn groups_and_fractions_of_zeros_are_numbers() {
        for (text, value) in [
            ("1.234", 1_234),
            ("-1.234.567", -1_234_567),
            ("1.234,00", 1_234),
            ("12,0", 12),
            ("1234,00", 1_234),
            ("-0,0", 0),
            ("000.001", 1),
            ("9.223.372.036.854.775.807", i64::MAX),
            ("-9.223.372.036.854.775.808,000", i64::MIN),
            ("42", 42),
        ] {
            assert_eq!(formatted(text.as_bytes(), GERMAN), Ok(value), "{text}");
        }
    }

    #[test]
    fn wrong_groups_are_no_numbers() {
        for text in [
            "",
            "-",
            ".",
            ",",
            "1.",
            "1,",
            ",00",
            "1.23",
            "1.2345",
            "1234.567",
            ".123",
            "1..234",
            "1.234.56",
            "1,2,3",
            "1.234,0x",
            "- 1.234",
            "--1.234",
            "1 234",
            "+1.234",
            "1.234,00,00",
        ] {
            assert_eq!(formatted(text.as_bytes(), GERMAN), Err(NotANumber::Other), "{text}");
        }
        assert_eq!(formatted(b"1,50", GERMAN), Err(NotANumber::Fraction));
        let most = "9.223.372.036.854.775.808";
        assert_eq!(formatted(most.as_bytes(), GERMAN), Err(NotANumber::TooLarge));
        let long = "1".to_owned() + &".000".repeat(100);
        assert_eq!(formatted(long.as_bytes(), GERMAN), Err(NotANumber::TooLarge));
    }

    #[test]
    fn only_what_was_told_is_permitted() {
        let plain = NumberFormat::default();
        let thousands = NumberFormat { decimal: None, ..GERMAN };
        let decimal = NumberFormat { thousands: None, ..GERMAN };
        for (text, by_plain, by_thousands, by_decimal) in [
            ("1.234", None, Some(1_234), None),
            ("5,00", None, None, Some(5)),
            ("7", Some(7), Some(7), Some(7)),
        ] {
            let parsed = |format| formatted(text.as_bytes(), format).ok();
            let expected = (by_plain, by_thousands, by_decimal);
            assert_eq!((parsed(plain), parsed(thousands), parsed(decimal)), expected, "{text}");
        }
    }

    #[test]
    fn every_blank_separates_thousands() {
        let french = NumberFormat { decimal: Some(b','), thousands: Some(Thousands::Blank) };
        for text in ["1 234,00", "1\u{A0}234", "1\u{202F}234,0"] {
            assert_eq!(formatted(text.as_bytes(), french), Ok(1_234), "{text}");
        }
    }
}
