//! The faults of invalid rows.

use csv_input::{NOT_UTF8, RowError, value_excerpt};

use crate::read::header::Header;
use crate::read::row::Row;

/// The first fault of a row. `at` is the position of the field, from 0. No message is formatted
/// here: most invalid rows of a bad file are only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    UnterminatedQuote,
    Ragged { fields: usize, expected: usize },
    NotUtf8 { at: usize },
    NoDate { at: usize },
    NoNumber { at: usize },
    NotWhole { at: usize },
    NumberTooLarge { at: usize },
}

impl Fault {
    /// The position of the field, from 0, if the fault concerns a single field.
    pub(crate) fn at(&self) -> Option<usize> {
        match *self {
            Self::UnterminatedQuote | Self::Ragged { .. } => None,
            Self::NotUtf8 { at }
            | Self::NoDate { at }
            | Self::NoNumber { at }
            | Self::NotWhole { at }
            | Self::NumberTooLarge { at } => Some(at),
        }
    }

    /// Formats the fault of `row`.
    pub(crate) fn error(&self, row: &Row<'_>, header: &Header) -> RowError {
        RowError {
            line: row.line,
            column: self.at().map(|at| at as u64 + 1),
            field: self.at().and_then(|at| header.name(at)),
            reason: self.reason(row),
        }
    }

    fn reason(&self, row: &Row<'_>) -> String {
        let value = |at| value_excerpt(row.fields.get(at).unwrap_or_default());
        match *self {
            Self::UnterminatedQuote => "a quote is opened in this row and never closed".to_owned(),
            Self::Ragged { fields, expected } => {
                let noun = if fields == 1 { "field" } else { "fields" };
                format!("the row has {fields} {noun}, the header has {expected}")
            }
            Self::NotUtf8 { at } => format!("`{}` {NOT_UTF8}", value(at)),
            Self::NoDate { at } => {
                format!("`{}` is not a day of the calendar written as YYYY-MM-DD", value(at))
            }
            Self::NoNumber { at } if row.fields.get(at).is_none_or(<[u8]>::is_empty) => {
                "the field is empty, it must be a whole number".to_owned()
            }
            Self::NoNumber { at } => format!(
                "`{}` is not a whole number (digits only, with a minus where it is negative)",
                value(at)
            ),
            Self::NotWhole { at } => {
                format!("`{}` is not a whole number: its decimals are not zero", value(at))
            }
            Self::NumberTooLarge { at } => format!(
                "`{}` is out of range: numbers go from {} to {}",
                value(at),
                i64::MIN,
                i64::MAX
            ),
        }
    }
}
