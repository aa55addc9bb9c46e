//! Whole numbers.

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

/// The number of one to eight digits, at which `text` starts; all at once, as a word.
#[inline]
pub(super) fn short_number(text: &[u8; 8], length: usize) -> Option<i64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Digits as numbers, the last one highest; what does not belong to the number is shifted out
    // and leaves leading zeros.
    let unused = 8_u32.checked_sub(length as u32).filter(|unused| *unused < 8)? * 8;
    let digits = (u64::from_le_bytes(*text) ^ ZEROS) << unused;
    let too_large = digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    if too_large & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Neighbours become pairs, pairs become fours, fours become the number.
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_FFFF_0000_FFFF;
    Some((fours.wrapping_mul(10_000 << 32 | 1) >> 32) as i64)
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

    #[test]
    fn short_numbers_are_the_same() {
        for text in ["0", "7", "42", "00042", "1234567", "12345678", "99999999", "00000000"] {
            let mut bytes = *b"........";
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            assert_eq!(short_number(&bytes, text.len()), number(text.as_bytes()).ok(), "{text}");
        }
        for wrong in 0..=u8::MAX {
            for at in 0..3 {
                let mut bytes = *b"123,xxxx";
                bytes[at] = wrong;
                let expected = number(&bytes[..3]).ok();
                // A sign is no digit.
                let expected = expected.filter(|_| wrong != b'-');
                assert_eq!(short_number(&bytes, 3), expected, "{wrong}");
            }
        }
        assert_eq!(short_number(b"12345678", 0), None);
        assert_eq!(short_number(b"12345678", 9), None);
    }
}
