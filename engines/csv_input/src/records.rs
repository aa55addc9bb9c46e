//! The records of a CSV file, with the places where they begin.
//!
//! It reads RFC 4180 as `csv_core` does: a quote opens a field only as its first byte; `""` inside
//! is a quote; bytes behind a closing quote belong to the field; `\r`, `\n` and `\r\n` end a
//! record; blank lines are no records.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader};

use crate::InputError;
use crate::start::{BOM, START_BYTES, check_start};

/// The longest record in bytes, as it stands in the file. A longer one is most likely no CSV, or a
/// quote that was never closed.
pub const MAX_RECORD: u64 = 16 << 20;
/// The most fields of a record.
pub const MAX_FIELDS: usize = 1 << 20;

/// How much is read at once.
const BUFFER: usize = 64 << 10;

/// A place in a file: the start of a record, or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In bytes from the start of the file.
    pub offset: u64,
    /// The line, from 1.
    pub line: u64,
}

/// Reads a CSV file record by record.
pub struct Records<R> {
    input: R,
    /// What was read and not yet parsed: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    parser: Reader,
    place: Place,
    /// The fields of the latest record, one behind the other, and where each of them ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record.
pub struct Record<'a> {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// Whether it reaches the end of the file inside quotes.
    pub unterminated: bool,
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.field_count()).map(|index| self.field(index))
    }

    /// How many fields there are.
    pub fn field_count(&self) -> usize {
        self.ends.len()
    }

    /// The field at `index`, from 0; empty where there is none.
    pub fn field(&self, index: usize) -> &'a [u8] {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
        };
        let end = self.ends.get(index).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default()
    }
}

impl<R: Read> Records<R> {
    /// The records of a whole file.
    ///
    /// # Errors
    /// It cannot be read, or starts like something else than CSV.
    pub fn from_start(input: R) -> Result<Self, InputError> {
        let mut records = Self::new(input, Place { offset: 0, line: 1 });
        while records.end < START_BYTES && records.fill()? {}
        let start = &records.buffer[..records.end];
        check_start(start).map_err(InputError::NotCsv)?;
        if start.starts_with(BOM) {
            records.consume(BOM.len());
        }
        records.skip_line_ends()?;
        Ok(records)
    }

    /// The records behind `place`, where `input` begins.
    pub fn new(input: R, place: Place) -> Self {
        let mut parser = Reader::new();
        // What it reads first may be a byte order mark to it, which one inside the file is not.
        parser.read_record(b"\n", &mut [0], &mut [0]);
        Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            parser,
            place,
            text: vec![0; 1 << 10],
            ends: vec![0; 16],
        }
    }

    /// Where the next record begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// The record is too long, has too many fields, or reading failed.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, InputError> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        let Place { offset, line } = self.place;
        let (mut length, mut fields, mut unterminated) = (0, 0, false);
        loop {
            let ended = self.start == self.end && !self.fill()?;
            // At the end of the file a line end shows whether a quote is open.
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
            if self.place.offset - offset > MAX_RECORD {
                let rest = self.parser.read_record(b"\n", &mut [0; 4], &mut [0; 4]).0;
                let in_quotes = matches!(rest, ReadRecordResult::InputEmpty);
                return Err(InputError::RecordTooLong { line, in_quotes });
            }
        }
        self.skip_line_ends()?;
        let (text, ends) = (&self.text[..length], &self.ends[..fields]);
        Ok(Some(Record { line, unterminated, text, ends }))
    }

    /// Skips line ends up to the next record or the end of the file; they belong to no record.
    ///
    /// # Errors
    /// Reading failed.
    pub fn skip_line_ends(&mut self) -> Result<(), InputError> {
        while self.start < self.end || self.fill()? {
            let unread = &self.buffer[self.start..self.end];
            let length = unread.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
        Ok(())
    }

    fn consume(&mut self, length: usize) {
        let bytes = &self.buffer[self.start..self.start + length];
        self.place.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.place.offset += length as u64;
        self.start += length;
    }

    /// Reads more; whether there was more.
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
