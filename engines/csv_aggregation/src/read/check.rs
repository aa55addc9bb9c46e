//! Validates one record at a time and finds its first fault.

use crate::options::{NumberFormat, Options};
use crate::read::date::is_date;
use crate::read::fault::Fault;
use crate::read::header::Header;
use crate::read::number::NotANumber;
use crate::read::number_format::formatted;
use crate::read::row::Row;

/// The type that a field must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FieldType {
    Date,
    /// A number for the sum with this index.
    Number(usize),
}

/// Validates rows one by one. Used outside the fast path, which handles only rows that are
/// certainly valid.
pub(crate) struct RowCheck<'a> {
    header: &'a Header,
    /// The fields to validate, in the order of the header.
    checks: Vec<(usize, FieldType)>,
    numbers: NumberFormat,
}

impl<'a> RowCheck<'a> {
    pub(crate) fn new(header: &'a Header, options: &Options) -> Self {
        let numbers = header.sum.iter().enumerate().map(|(sum, at)| (*at, FieldType::Number(sum)));
        let date = header.group_by.last().filter(|_| options.checks_dates());
        let mut checks: Vec<_> = numbers.chain(date.map(|at| (*at, FieldType::Date))).collect();
        checks.sort_unstable();
        Self { header, checks, numbers: options.numbers }
    }

    /// Stores the numbers of `row` in `values`, in the order of the sums, or returns its first
    /// fault.
    pub(crate) fn check(&self, row: &Row<'_>, values: &mut [i64]) -> Result<(), Fault> {
        if row.unterminated {
            return Err(Fault::UnterminatedQuote);
        }
        if row.fields.len() != self.header.len() {
            return Err(Fault::Ragged { fields: row.fields.len(), expected: self.header.len() });
        }
        // Each field on its own: a character that is split across two fields is invalid.
        if !row.fields.as_slice().is_ascii()
            && let Some(at) =
                row.fields.iter().position(|field| std::str::from_utf8(field).is_err())
        {
            return Err(Fault::NotUtf8 { at });
        }
        for &(at, kind) in &self.checks {
            let field = &row.fields[at];
            match kind {
                FieldType::Date if is_date(field) => {}
                FieldType::Date => return Err(Fault::NoDate { at }),
                FieldType::Number(sum) => match formatted(field, self.numbers) {
                    Ok(value) => values[sum] = value,
                    Err(NotANumber::Other) => return Err(Fault::NoNumber { at }),
                    Err(NotANumber::Fraction) => return Err(Fault::NotWhole { at }),
                    Err(NotANumber::TooLarge) => return Err(Fault::NumberTooLarge { at }),
                },
            }
        }
        Ok(())
    }
}
