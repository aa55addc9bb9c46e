//! Checks a record and finds what is wrong with it.

use crate::options::Options;
use crate::read::date::is_date;
use crate::read::fault::Fault;
use crate::read::header::Header;
use crate::read::number::{NotANumber, number};
use crate::read::row::Row;

/// What a needed field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Date,
    /// The number for the sum at this index.
    Number(usize),
}

/// Checks one row after the other.
pub(crate) struct RowCheck<'a> {
    header: &'a Header,
    /// The fields to check, in the order of the header.
    checks: Vec<(usize, Kind)>,
}

impl<'a> RowCheck<'a> {
    pub(crate) fn new(header: &'a Header, options: &Options) -> Self {
        let numbers = header.sum.iter().enumerate().map(|(sum, at)| (*at, Kind::Number(sum)));
        let date = header.group_by.last().filter(|_| options.checks_dates());
        let mut checks: Vec<_> = numbers.chain(date.map(|at| (*at, Kind::Date))).collect();
        checks.sort_unstable();
        Self { header, checks }
    }

    /// Puts the numbers of `row` into `values`, in the order of the sums, or finds the first thing
    /// that is wrong with it.
    pub(crate) fn check(&self, row: &Row<'_>, values: &mut [i64]) -> Result<(), Fault> {
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
                    Ok(value) => values[sum] = value,
                    Err(NotANumber::Other) => return Err(Fault::NoNumber { at }),
                    Err(NotANumber::TooLarge) => return Err(Fault::NumberTooLarge { at }),
                },
            }
        }
        Ok(())
    }
}
