//! Whole numbers.

use crate::text::{Prefixes, Span, wide};

/// Why a text is not an `i64`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotANumber {
    TooLarge,
    Other,
}

/// The number of `-?[0-9]+`. `str::parse` would take a `+` too.
pub(crate) fn number(text: &[u8]) -> Result<i64, NotANumber> {
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

/// The number that stands at `span` of `data`, if it has up to fifteen digits.
#[inline]
pub(crate) fn short_number(data: &[u8], span: Span) -> Option<i64> {
    let negative = data.get(span.start()) == Some(&b'-');
    let text = wide(data, span.start() + usize::from(negative));
    let length = (span.len() as u64).wrapping_sub(negative.into());
    let (magnitude, good) = match length {
        1..=8 => digits(text as u64, length),
        9..=15 => {
            let (upper, good) = digits(text as u64, length - 8);
            let (lower, good_too) = digits((text >> (8 * (length - 8))) as u64, 8);
            (upper * 100_000_000 + lower, good & good_too)
        }
        _ => return None,
    };
    good.then(|| signed(magnitude, negative))
}

/// The numbers of texts of up to eight bytes each, and 0 for all others; `good` tells which are numbers.
#[inline(always)]
pub(crate) fn short_numbers(texts: &Prefixes, numbers: &mut [i64], good: &mut [bool]) {
    let texts = texts.first.iter().zip(&texts.lengths);
    for (((text, length), number), good) in texts.zip(numbers).zip(good) {
        let negative = *text as u8 == b'-';
        let sign = u64::from(negative);
        let (magnitude, are_digits) = digits(text >> (8 * sign), length.wrapping_sub(sign));
        *good = are_digits & (length.wrapping_sub(1 + sign) < 8 - sign);
        let magnitude = if *good { magnitude } else { 0 };
        *number = signed(magnitude, negative);
    }
}

/// Not by a branch: with signs at random it would be guessed wrong half of the time.
#[inline(always)]
fn signed(magnitude: u64, negative: bool) -> i64 {
    let sign = -i64::from(negative);
    (magnitude as i64 ^ sign) - sign
}

/// The number with which a word starts, of one to eight digits, and whether they are digits.
#[inline(always)]
fn digits(word: u64, length: u64) -> (u64, bool) {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Digits as numbers, the last one highest; what does not belong to the number is shifted out
    // and leaves leading zeros.
    let digits = (word ^ ZEROS) << (64_u64.wrapping_sub(8 * length) & 63);
    let too_large = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    // Neighbours become pairs, pairs become fours, fours become the number.
    let pairs = (digits & 0x00FF_00FF_00FF_00FF) * 10 + (digits >> 8 & 0x00FF_00FF_00FF_00FF);
    let fours = (pairs & 0xFFFF_0000_FFFF) * 100 + (pairs >> 16 & 0xFFFF_0000_FFFF);
    ((fours & 0xFFFF_FFFF) * 10_000 + (fours >> 32), too_large == 0)
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
    fn many_numbers_are_the_same() {
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
            let (mut numbers, mut good) = (vec![1; texts.len()], vec![false; texts.len()]);
            csv_structure::vectorised(|| short_numbers(&prefixes, &mut numbers, &mut good));
            for ((text, value), good) in texts.iter().zip(numbers).zip(good) {
                let expected = number(text).ok().filter(|_| text.len() <= 8);
                assert_eq!(good.then_some(value), expected, "{}", text.escape_ascii());
            }
        }
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
