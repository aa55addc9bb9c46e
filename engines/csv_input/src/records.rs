//! The records of a CSV file, with the positions at which they start.
//!
//! RFC 4180 is read as `csv_core` does, with the bytes of the dialect: a quote opens a quoted field
//! only as its first byte; `""` inside is a quote; bytes after a closing quote belong to the field;
//! `\r`, `\n` and `\r\n` end a record; blank lines and comments are skipped.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader};

use crate::InputError;
use crate::dialect::{Delimiter, Dialect, DialectOptions, SAMPLE_BYTES, announced_delimiter};
use crate::encoding::Text;
use crate::start::{BOM, START_BYTES, check_start};

/// The maximum length of a record, in bytes of the file. A longer one is most likely not CSV, or
/// has a quote that is never closed.
pub const MAX_RECORD: u64 = 16 << 20;
/// The maximum number of fields of a record.
pub const MAX_FIELDS: usize = 1 << 20;

/// The maximum size of a single read. The sample that detects the dialect fits even after a byte
/// order mark.
const BUFFER: usize = SAMPLE_BYTES + START_BYTES;

/// A position in a file: the start of a record, or the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// In bytes from the start of the file.
    pub offset: u64,
    /// The line, from 1.
    pub line: u64,
}

/// Reads a CSV file record by record.
pub struct Records<R> {
    input: R,
    /// `buffer[start..end]` was read and is not yet parsed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    dialect: Dialect,
    parser: Reader,
    position: Position,
    /// The fields of the latest record, concatenated, and the end of each of them.
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record.
pub struct Record<'a> {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// Whether the file ends inside quotes that this record opened.
    pub unterminated: bool,
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.field_count()).map(|index| self.field(index))
    }

    /// The number of fields.
    pub fn field_count(&self) -> usize {
        self.ends.len()
    }

    /// The field at `index`, from 0; empty if the record has fewer fields.
    pub fn field(&self, index: usize) -> &'a [u8] {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
        };
        let end = self.ends.get(index).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default()
    }
}

impl<R: Read> Records<Text<R>> {
    /// The records of a whole file, whose text is converted to UTF-8 if necessary. What `options`
    /// leave open is detected; `columns` are those that the caller needs, if it knows. Positions are
    /// those in the text as UTF-8.
    ///
    /// # Errors
    /// The file cannot be read, or its first bytes are not those of CSV.
    pub fn from_start(
        input: R,
        mut options: DialectOptions,
        columns: &[&str],
    ) -> Result<Self, InputError> {
        let text = Text::open(input, options.encoding).map_err(InputError::Read)?;
        options.encoding = Some(text.encoding());
        let start = Position { offset: 0, line: 1 };
        let mut records = Self::new(text, start, options.with(Delimiter::default()));
        while records.end < START_BYTES && records.fill()? {}
        let start = &records.buffer[..records.end];
        check_start(start).map_err(InputError::NotCsv)?;
        if start.starts_with(BOM) {
            records.consume(BOM.len());
        }
        if let Some((announced, length)) = announced_delimiter(records.unread()) {
            records.consume(length);
            options.delimiter.get_or_insert(announced);
        }
        let mut is_whole = false;
        let dialect = loop {
            match options.detect(records.unread(), is_whole, columns) {
                Some(dialect) => break dialect,
                None => is_whole = !records.fill()?,
            }
        };
        records.read_as(dialect);
        records.skip_line_ends()?;
        Ok(records)
    }
}

impl<R: Read> Records<R> {
    /// The records from `position` on. `input` must start there.
    pub fn new(input: R, position: Position, dialect: Dialect) -> Self {
        let mut records = Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            dialect,
            parser: Reader::new(),
            position,
            text: vec![0; 1 << 10],
            ends: vec![0; 16],
        };
        records.read_as(dialect);
        records
    }

    fn read_as(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        self.parser = dialect.parser();
        // The parser skips a byte order mark at its first byte, but `input` may start inside a
        // file.
        self.parser.read_record(b"\n", &mut [0], &mut [0]);
    }

    /// How the fields are separated.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The bytes that were read and are not parsed yet: after [`Records::from_start`] the header
    /// and what follows it.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the next record starts.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// The record is too long, has too many fields, or reading failed.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, InputError> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        let Position { offset, line } = self.position;
        let (mut length, mut fields, mut unterminated) = (0, 0, false);
        loop {
            let ended = self.start == self.end && !self.fill()?;
            // At the end of the file, a line end shows whether a quote is still open.
            let input = if ended { b"\n" } else { &self.buffer[self.start..self.end] };
            let (result, read, written, new_fields) =
                self.parser.read_record(input, &mut self.text[length..], &mut self.ends[fields..]);
            length += written;
            fields += new_fields;
            if !ended {
                self.consume(read);
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty if ended => {
                    unterminated = true;
                    break;
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if fields >= MAX_FIELDS => {
                    return Err(InputError::TooManyFields { line });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
            if self.position.offset - offset > MAX_RECORD {
                let rest = self.parser.read_record(b"\n", &mut [0; 4], &mut [0; 4]).0;
                let in_quotes = matches!(rest, ReadRecordResult::InputEmpty);
                return Err(InputError::RecordTooLong { line, in_quotes });
            }
        }
        self.skip_line_ends()?;
        let (text, ends) = (&self.text[..length], &self.ends[..fields]);
        Ok(Some(Record { line, unterminated, text, ends }))
    }

    /// Skips line ends and comments, which belong to no record, up to the next record or the end of
    /// the file.
    ///
    /// # Errors
    /// Reading failed.
    pub fn skip_line_ends(&mut self) -> Result<(), InputError> {
        while self.start < self.end || self.fill()? {
            let unread = &self.buffer[self.start..self.end];
            let length = unread.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if length > 0 {
                self.consume(length);
            } else if self.dialect.comment.is_some_and(|comment| unread[0] == comment) {
                self.skip_line()?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Skips everything up to the next `\n`, which ends a comment.
    fn skip_line(&mut self) -> Result<(), InputError> {
        while self.start < self.end || self.fill()? {
            let unread = &self.buffer[self.start..self.end];
            match memchr::memchr(b'\n', unread) {
                Some(at) => {
                    self.consume(at + 1);
                    break;
                }
                None => self.consume(unread.len()),
            }
        }
        Ok(())
    }

    fn consume(&mut self, length: usize) {
        let bytes = &self.buffer[self.start..self.start + length];
        self.position.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.position.offset += length as u64;
        self.start += length;
    }

    /// Reads more input. Returns `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, InputError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(InputError::Read(error)),
            }
        }
    }
}
