//! Whole numbers.

use super::text::{Span, wide};

/// Why a text is not an `i64`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotANumber {
    TooLarge,
    Other,
}

/// The number of `-?[0-9]+`. `str::parse` would take a `+` too.
pub(super) fn number(text: &[u8]) -> Result<i64, NotANumber> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber::Other);
    }
    // Below zero there is one number more than above.
    let below_zero = digits.iter().try_fold(0_i64, |number, digit| {
        number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
    });
    let number = if negative { below_zero } else { below_zero.and_then(i64::checked_neg) };
    number.ok_or(NotANumber::TooLarge)
}

/// The number that stands at `span` of `data`, if it has up to fifteen digits; several at once, as
/// words.
#[inline(always)]
pub(super) fn short_number(data: &[u8], span: Span) -> Option<i64> {
    let negative = data.get(span.start()) == Some(&b'-');
    let text = wide(data, span.start() + usize::from(negative));
    let length = span.len().wrapping_sub(usize::from(negative));
    let magnitude = match length {
        1..=8 => digits(text as u64, length)?,
        9..=15 => {
            let lower = digits((text >> (8 * (length as u32 - 8))) as u64, 8)?;
            digits(text as u64, length - 8)? * 100_000_000 + lower
        }
        _ => return None,
    };
    // Not a branch: with signs at random it would be guessed wrong half of the time.
    let sign = -i64::from(negative);
    Some((magnitude as i64 ^ sign) - sign)
}

/// The number of one to eight digits, with which a word starts.
#[inline(always)]
fn digits(word: u64, length: usize) -> Option<u64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Digits as numbers, the last one highest; what does not belong to the number is shifted out
    // and leaves leading zeros.
    let digits = (word ^ ZEROS) << (64 - 8 * length as u32);
    let too_large = digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    if too_large & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Neighbours become pairs, pairs become fours, fours become the number.
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("007", 7),
            ("-12", -12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("000000000000000000000000000000000000001", 1),
        ] {
            assert_eq!(number(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn no_whole_numbers() {
        for text in
            ["", "-", "+5", " 5", "5 ", "5.0", "1e3", "1,000", "0x10", "five", "--5", "5-", "٣"]
        {
            assert_eq!(number(text.as_bytes()), Err(NotANumber::Other), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999"] {
            assert_eq!(number(text.as_bytes()), Err(NotANumber::TooLarge), "{text}");
        }
    }

    fn short(text: &[u8]) -> Option<i64> {
        let data = [b"12", text, b",9\n-456789abcdef"].concat();
        short_number(&data, Span::new(2, 2 + text.len()))
    }

    #[test]
    fn short_numbers_are_the_same() {
        for text in ["0", "7", "42", "00042", "1234567", "12345678", "99999999", "00000000"] {
            for text in [text.to_owned(), format!("-{text}"), format!("1234567{text}")] {
                assert_eq!(short(text.as_bytes()), number(text.as_bytes()).ok(), "{text}");
            }
        }
        for length in 1..=15 {
            for wrong in 0..=u8::MAX {
                for at in 0..length {
                    let mut text = vec![b'3'; length];
                    text[at] = wrong;
                    assert_eq!(short(&text), number(&text).ok(), "{}", text.escape_ascii());
                }
            }
        }
        for text in ["", "-", "--", "--5", "1234567890123456"] {
            assert_eq!(short(text.as_bytes()), None, "{text}");
        }
    }
}
