//! The header of the input: the positions of the columns.

use std::io::Read;

use common::report::RejectedRow;
use csv_input::{Dialect, DialectOptions, Header, HeaderError, Position, Records, RowError, Text};

use super::LoadError;

/// The names of the columns.
pub(super) const NAME: &str = "name";
pub(super) const EMAIL: &str = "email";

/// The positions of a file's columns, and of its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The number of fields of a row.
    pub(super) count: usize,
    /// The position of the name, from 0.
    pub(super) name: usize,
    /// The position of the e-mail address, from 0.
    pub(super) email: usize,
    /// How the fields are separated.
    pub(super) dialect: Dialect,
    /// Where the first row starts.
    pub(super) rows_at: Position,
}

/// Reads the header of a file.
///
/// # Errors
/// The header is missing or invalid, a column is missing, or reading failed.
pub fn read_header(input: impl Read, dialect: DialectOptions) -> Result<Columns, LoadError> {
    Columns::read(&mut records(input, dialect)?, dialect)
}

/// The records of a whole file.
pub(super) fn records<R: Read>(
    input: R,
    dialect: DialectOptions,
) -> Result<Records<Text<R>>, LoadError> {
    Ok(Records::from_start(input, dialect, &[NAME, EMAIL])?)
}

impl Columns {
    /// Reads the header, which is the first record of a file.
    pub(super) fn read(
        records: &mut Records<impl Read>,
        options: DialectOptions,
    ) -> Result<Self, LoadError> {
        let columns = [NAME, EMAIL];
        let dialect = records.dialect();
        let fitting = options.fitting(records.unread(), dialect, &columns);
        let header = match records.next_record()? {
            Some(record) => Header::new(record.fields(), record.line, record.unterminated)?,
            None => return Err(HeaderError::EmptyFile.into()),
        };
        let positions =
            header.positions(&columns).map_err(|error| error.with_fitting(|| fitting))?;
        Ok(Self {
            count: header.column_count(),
            name: positions[0],
            email: positions[1],
            dialect,
            rows_at: records.position(),
        })
    }

    /// How the fields are separated.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The error of a rejected row, with its position.
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
