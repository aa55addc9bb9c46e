//! The header of the input: where the columns are.

use std::io::Read;

use common::problem::ErrorLocation;
use common::report::RejectedRow;

use super::LoadError;
use super::row::shortened;
use csv_input::{Place, Record, Records};

/// The names of the columns, in the order of the header that a result has.
pub(super) const NAME: &str = "name";
pub(super) const EMAIL: &str = "email";

/// As many of the input's columns are listed where one is missing.
const SHOWN_COLUMNS: usize = 20;

/// Where a file's columns are, and where its rows begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// How many fields a row has.
    pub(super) count: usize,
    /// The position of the name, from 0.
    pub(super) name: usize,
    /// The position of the e-mail address, from 0.
    pub(super) email: usize,
    /// Where the first row begins.
    pub(super) rows_at: Place,
}

/// Reads the header of a file.
///
/// # Errors
/// There is none, it lacks a column, or reading failed.
pub fn read_header(input: impl Read) -> Result<Columns, LoadError> {
    Columns::read(&mut Records::from_start(input)?)
}

impl Columns {
    /// Takes the header off the records of a whole file. Its names are trimmed and case-sensitive.
    pub(super) fn read(records: &mut Records<impl Read>) -> Result<Self, LoadError> {
        let Some(record) = records.next_record()? else { return Err(LoadError::EmptyFile) };
        if record.unterminated {
            return Err(LoadError::UnterminatedHeader { line: record.line });
        }
        let (count, line, names) = (record.field_count(), record.line, names(&record)?);
        let mut missing = Vec::new();
        let mut find = |column: &'static str| {
            let mut found = (0..count).filter(|index| names[*index] == column);
            match (found.next(), found.next()) {
                (Some(index), None) => Ok(index),
                (None, _) => {
                    missing.push(column);
                    Ok(0)
                }
                (Some(first), Some(second)) => Err(LoadError::RepeatedColumn {
                    line,
                    name: column,
                    first: first as u64 + 1,
                    second: second as u64 + 1,
                }),
            }
        };
        let (name, email) = (find(NAME)?, find(EMAIL)?);
        if !missing.is_empty() {
            let present = names.iter().take(SHOWN_COLUMNS).map(|name| shortened(name)).collect();
            let more = count.saturating_sub(SHOWN_COLUMNS) as u64;
            return Err(LoadError::MissingColumns { line, missing, present, more });
        }
        Ok(Self { count, name, email, rows_at: records.place() })
    }

    /// Where a rejected row is, for an error.
    pub(super) fn location(&self, rejected: &RejectedRow) -> ErrorLocation {
        let column = rejected.column.as_deref().map(|column| match column {
            NAME => self.name,
            _ => self.email,
        });
        ErrorLocation {
            line: Some(rejected.line),
            column: column.map(|index| index as u64 + 1),
            field: rejected.column.clone(),
            reason: match &rejected.value {
                Some(value) if !value.is_empty() => format!("`{value}` {}", rejected.reason),
                _ => rejected.reason.clone(),
            },
        }
    }
}

fn names<'a>(record: &Record<'a>) -> Result<Vec<&'a str>, LoadError> {
    let name = |index| {
        std::str::from_utf8(record.field(index))
            .map(str::trim)
            .map_err(|_| LoadError::HeaderNotUtf8 { line: record.line, column: index as u64 + 1 })
    };
    (0..record.field_count()).map(name).collect()
}
