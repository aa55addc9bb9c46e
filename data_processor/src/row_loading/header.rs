//! The header of the input: where the columns are.

use std::io::Read;

use common::report::RejectedRow;
use csv_input::{Header, HeaderError, Place, Records, RowError};

use super::LoadError;

/// The names of the columns, in the order of the header that a result has.
pub(super) const NAME: &str = "name";
pub(super) const EMAIL: &str = "email";

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
    /// Reads the header, the first of the records of a whole file.
    pub(super) fn read(records: &mut Records<impl Read>) -> Result<Self, LoadError> {
        let header = match records.next_record()? {
            Some(record) => Header::new(record.fields(), record.line, record.unterminated)?,
            None => return Err(HeaderError::EmptyFile.into()),
        };
        let positions = header.positions(&[NAME, EMAIL])?;
        Ok(Self {
            count: header.column_count(),
            name: positions[0],
            email: positions[1],
            rows_at: records.place(),
        })
    }

    /// What is wrong with a rejected row, and where.
    pub(super) fn error(&self, rejected: &RejectedRow) -> RowError {
        let column = rejected.column.as_deref().map(|column| match column {
            NAME => self.name,
            _ => self.email,
        });
        RowError {
            line: rejected.line,
            column: column.map(|index| index as u64 + 1),
            field: rejected.column.clone(),
            reason: match &rejected.value {
                Some(value) if !value.is_empty() => format!("`{value}` {}", rejected.reason),
                _ => rejected.reason.clone(),
            },
        }
    }
}
