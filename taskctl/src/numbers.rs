//! Numbers as people type them: `1000000`, `1_000_000`, `1M`, `1e6`, `1.5k`.

use std::ops::RangeInclusive;

/// Suffixes and the powers of ten that they stand for.
const SUFFIXES: [(char, u32); 5] = [('k', 3), ('K', 3), ('M', 6), ('G', 9), ('T', 12)];

/// Parses a whole number.
///
/// # Errors
/// The text that clap shows if it is not one, or does not fit.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    exact(text)
        .ok_or_else(|| "it takes a whole number, such as 1000000, 1_000_000, 1M or 1e6".to_owned())
}

/// A parser of whole numbers in a range.
pub(crate) fn within<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + PartialOrd + std::fmt::Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let fitting = T::try_from(number(text)?).ok().filter(|number| range.contains(number));
        fitting.ok_or_else(|| format!("it takes {} to {}", range.start(), range.end()))
    }
}

/// Parses a number of bytes: a number, or one with a unit such as `256MiB`, which stays as it is.
///
/// # Errors
/// It starts with no digit.
pub(crate) fn size(text: &str) -> Result<String, String> {
    match exact(text) {
        Some(bytes) => Ok(bytes.to_string()),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(text.replace('_', "")),
        None => Err("it takes a size such as 268435456, 256MiB or 1G".to_owned()),
    }
}

/// The number, unless it has a fraction or does not fit.
fn exact(text: &str) -> Option<u64> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.trim_start_matches('+').parse().ok()?),
        None => SUFFIXES
            .iter()
            .find_map(|(suffix, exponent)| Some((text.strip_suffix(*suffix)?, *exponent)))
            .unwrap_or((text, 0)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_grouped = whole.starts_with(|c: char| c.is_ascii_digit()) && !whole.ends_with('_');
    let whole = whole.replace('_', "");
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    let zeros = exponent.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    if !is_grouped || !is_digits(&whole) || !is_digits(fraction) {
        return None;
    }
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    digits.checked_mul(10_u64.checked_pow(zeros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_many_ways() {
        for text in ["1000000", "1_000_000", "1M", "1e6", "1E+6", "1.0e6", "1000k", "0.001G"] {
            assert_eq!(number(text), Ok(1_000_000), "{text}");
        }
        assert_eq!((number("1.5k"), number("0"), number("2.50")), (Ok(1_500), Ok(0), number("x")));
        for text in ["", "M", "_1", "1_", "-1", "1.5", "1e-3", "1e99", "1kk", "one", "1 000", "1.x"]
        {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        let parse = within(1..=10_u32);
        assert_eq!((parse("10"), parse("1e1")), (Ok(10), Ok(10)));
        assert_eq!(parse("11"), Err("it takes 1 to 10".to_owned()));
        assert_eq!(parse("5G"), Err("it takes 1 to 10".to_owned()));
    }

    #[test]
    fn sizes_may_have_units() {
        assert_eq!(size("1_024").as_deref(), Ok("1024"));
        assert_eq!(size("1M").as_deref(), Ok("1000000"));
        assert_eq!(size("256MiB").as_deref(), Ok("256MiB"));
        assert!(size("much").is_err());
    }
}
