//! The rows of a CSV file, with the lines on which they start.

use std::io::{self, Read};

use csv::ByteRecord;
use csv_input::{Dialect, HeaderError, InputError};

use crate::read::row::Row;

use super::scanner::{Scanner, Stop};
use crate::control::Control;
use crate::error::AggregationError;

/// The size of a read: interrupts are checked between reads.
const BUFFER: usize = 64 << 10;

/// Reads a CSV file row by row.
pub(in super::super) struct Reader<'a, R> {
    csv: csv::Reader<Scanner<'a, R>>,
    record: ByteRecord,
}

impl<'a, R: Read> Reader<'a, R> {
    pub(in super::super) fn open(
        input: R,
        control: &'a dyn Control,
        dialect: Dialect,
    ) -> Result<Self, AggregationError> {
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter.byte())
            .quote(dialect.quote)
            .escape(dialect.escape)
            .comment(dialect.comment)
            .buffer_capacity(BUFFER)
            .from_reader(Scanner::open(input, control, dialect)?);
        Ok(Self { csv, record: ByteRecord::new() })
    }

    /// The first row.
    pub(super) fn header(&mut self) -> Result<Row<'_>, AggregationError> {
        Ok(self.next()?.ok_or(HeaderError::EmptyFile)?)
    }

    /// The next row. Blank lines and comments are skipped.
    pub(in super::super) fn next(&mut self) -> Result<Option<Row<'_>>, AggregationError> {
        if !self.csv.read_byte_record(&mut self.record).map_err(read_error)? {
            return Ok(None);
        }
        let scanner = self.csv.get_mut();
        if scanner.ends_within_comment() {
            return Ok(None);
        }
        let line = scanner.take_record_line();
        let unterminated = scanner.is_unterminated();
        Ok(Some(Row { fields: &self.record, line, unterminated }))
    }
}

/// The error of the scanner or of the input.
fn read_error(error: csv::Error) -> AggregationError {
    let error = match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => return InputError::Read(io::Error::other(format!("{kind:?}"))).into(),
    };
    match error.downcast::<Stop>() {
        Ok(Stop::Interrupted(interrupted)) => interrupted.into(),
        Ok(Stop::RecordTooLong { line, in_quotes }) => {
            InputError::RecordTooLong { line, in_quotes }.into()
        }
        Ok(Stop::TooManyFields { line }) => InputError::TooManyFields { line }.into(),
        Err(error) => InputError::Read(error).into(),
    }
}
