//! Parses whole numbers: one at a time for any length, and many at a time for short ones.

use crate::text::{Prefixes, Span, wide};

/// Why a text is not an `i64`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotANumber {
    TooLarge,
    /// It is a number, but not a whole one.
    Fraction,
    Other,
}

/// Parses `-?[0-9]+`. Not `str::parse`, which accepts a `+` too.
pub(crate) fn number(text: &[u8]) -> Result<i64, NotANumber> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber::Other);
    }
    // Accumulated as a negative number: `i64::MIN` has no positive counterpart.
    let below_zero = digits.iter().try_fold(0_i64, |number, digit| {
        number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
    });
    let number = if negative { below_zero } else { below_zero.and_then(i64::checked_neg) };
    number.ok_or(NotANumber::TooLarge)
}

/// Parses the number at `span` of `data` without a loop over its bytes. `None` if it is invalid or
/// has more than fifteen digits.
#[inline]
pub(crate) fn short_number(data: &[u8], span: Span) -> Option<i64> {
    let negative = data.get(span.start()) == Some(&b'-');
    let text = wide(data, span.start() + usize::from(negative));
    let length = (span.len() as u64).wrapping_sub(negative.into());
    let (magnitude, valid) = match length {
        1..=8 => digits(text as u64, length),
        9..=15 => {
            let (upper, upper_valid) = digits(text as u64, length - 8);
            let (lower, lower_valid) = digits((text >> (8 * (length - 8))) as u64, 8);
            (upper * 100_000_000 + lower, upper_valid & lower_valid)
        }
        _ => return None,
    };
    valid.then(|| signed(magnitude, negative))
}

/// Parses numbers of up to eight bytes each. `valid` tells which texts are such numbers; the others
/// become 0. The loop has no branches, so the compiler vectorises it.
#[inline(always)]
pub(crate) fn short_numbers(texts: &Prefixes, numbers: &mut [i64], valid: &mut [bool]) {
    let texts = texts.first.iter().zip(&texts.lengths);
    for (((text, length), number), valid) in texts.zip(numbers).zip(valid) {
        let negative = *text as u8 == b'-';
        let sign = u64::from(negative);
        let (magnitude, are_digits) = digits(text >> (8 * sign), length.wrapping_sub(sign));
        *valid = are_digits & (length.wrapping_sub(1 + sign) < 8 - sign);
        let magnitude = if *valid { magnitude } else { 0 };
        *number = signed(magnitude, negative);
    }
}

/// Applies the sign without a branch, which would be mispredicted half of the time for random
/// signs.
#[inline(always)]
fn signed(magnitude: u64, negative: bool) -> i64 {
    let sign = -i64::from(negative);
    (magnitude as i64 ^ sign) - sign
}

/// Parses the one to eight digits at the start of `word`. Returns the number and whether all of
/// them are digits.
#[inline(always)]
fn digits(word: u64, length: u64) -> (u64, bool) {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // One digit value per byte, the last digit in the highest byte. Bytes after the number are
    // shifted out, which fills in leading zeros.
    let digits = (word ^ ZEROS) << (64_u64.wrapping_sub(8 * length) & 63);
    let too_large = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    // Combine neighbouring digits into pairs, pairs into fours, and fours into the number.
    let pairs = (digits & 0x00FF_00FF_00FF_00FF) * 10 + (digits >> 8 & 0x00FF_00FF_00FF_00FF);
    let fours = (pairs & 0xFFFF_0000_FFFF) * 100 + (pairs >> 16 & 0xFFFF_0000_FFFF);
    ((fours & 0xFFFF_FFFF) * 10_000 + (fours >> 32), too_large == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_parsed() {
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
    fn other_texts_are_rejected() {
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
    fn vectorised_parsing_agrees_with_the_plain_one() {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for text in
            ["", "-", "--", "--5", "-0", "0", "-1234567", "-12345678", "12345678", "123456789"]
        {
            texts.push(text.into());
        }
        for length in 1..=8 {
            for (wrong, at) in
                (0..=u8::MAX).flat_map(|wrong| (0..length).map(move |at| (wrong, at)))
            {
                let mut text = vec![b'3'; length];
                text[at] = wrong;
                texts.push(text);
            }
        }
        for texts in texts.chunks(255) {
            let mut data = Vec::new();
            let spans = texts.iter().map(|text| {
                let start = data.len();
                data.extend_from_slice(text);
                let span = Span::new(start, data.len());
                data.extend_from_slice(b",1\n");
                span
            });
            let spans: Vec<_> = spans.collect();
            data.extend_from_slice(&[b'7'; 16]);
            let mut prefixes = Prefixes::default();
            prefixes.read::<false>(&data, &spans);
            let (mut numbers, mut valid) = (vec![1; texts.len()], vec![false; texts.len()]);
            csv_structure::vectorised(|| short_numbers(&prefixes, &mut numbers, &mut valid));
            for ((text, value), valid) in texts.iter().zip(numbers).zip(valid) {
                let expected = number(text).ok().filter(|_| text.len() <= 8);
                assert_eq!(valid.then_some(value), expected, "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn short_number_agrees_with_the_plain_parser() {
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
