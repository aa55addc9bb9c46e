//! Checks a row and takes from it what is needed.

use super::date::is_date;
use super::fault::Fault;
use super::header::Header;
use super::reader::Row;
use super::{Options, groups};

/// What a needed field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Date,
    /// The number for the sum at this index.
    Number(usize),
}

/// A row that holds.
pub(super) struct Checked<'a> {
    /// The group, as [`groups::push_field`] writes it.
    pub(super) key: &'a [u8],
    /// The numbers, in the order of the sums.
    pub(super) values: &'a [i64],
}

/// Checks one row after the other.
pub(super) struct RowCheck<'a> {
    header: &'a Header,
    /// The fields to check, in the order of the header.
    checks: Vec<(usize, Kind)>,
    key: Vec<u8>,
    values: Vec<i64>,
}

impl<'a> RowCheck<'a> {
    pub(super) fn new(header: &'a Header, options: &Options) -> Self {
        let numbers = header.sum.iter().enumerate().map(|(sum, at)| (*at, Kind::Number(sum)));
        let date = header.group_by.get(1).filter(|_| options.check_dates);
        let mut checks: Vec<_> = numbers.chain(date.map(|at| (*at, Kind::Date))).collect();
        checks.sort_unstable();
        Self { header, checks, key: Vec::new(), values: vec![0; header.sum.len()] }
    }

    /// What is needed of `row`, or the first thing that is wrong with it.
    pub(super) fn check(&mut self, row: &Row<'_>) -> Result<Checked<'_>, Fault> {
        if row.unterminated {
            return Err(Fault::UnterminatedQuote);
        }
        if row.fields.len() != self.header.len() {
            return Err(Fault::Ragged { fields: row.fields.len(), expected: self.header.len() });
        }
        // The fields one by one: two that hold half a character each are no text.
        if !row.fields.as_slice().is_ascii()
            && let Some(at) =
                row.fields.iter().position(|field| std::str::from_utf8(field).is_err())
        {
            return Err(Fault::NotUtf8 { at });
        }
        for &(at, kind) in &self.checks {
            let field = &row.fields[at];
            match kind {
                Kind::Date if is_date(field) => {}
                Kind::Date => return Err(Fault::NoDate { at }),
                Kind::Number(sum) => match number(field) {
                    Ok(value) => self.values[sum] = value,
                    Err(NotANumber::Other) => return Err(Fault::NoNumber { at }),
                    Err(NotANumber::TooLarge) => return Err(Fault::NumberTooLarge { at }),
                },
            }
        }
        self.key.clear();
        for &at in &self.header.group_by {
            groups::push_field(&mut self.key, &row.fields[at]);
        }
        Ok(Checked { key: &self.key, values: &self.values })
    }
}

/// Why a text is not an `i64`.
#[derive(Debug, PartialEq, Eq)]
enum NotANumber {
    TooLarge,
    Other,
}

/// The number of `-?[0-9]+`. `str::parse` would take a `+` too.
fn number(text: &[u8]) -> Result<i64, NotANumber> {
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
}
