//! Scans the bytes on their way to the CSV parser for what the parser does not report: the lines on
//! which records start, unterminated quotes, and records that are too long.
//!
//! It mirrors the states of the parser (RFC 4180 as the `csv` crate reads it): a quote opens a
//! quoted field only as its first byte; `""` inside is a quote; bytes after the closing quote
//! belong to the field; `\r`, `\n` and `\r\n` end a record; blank lines are skipped.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::control::{Control, Interrupted};
use crate::error::AggregationError;
use csv_input::{Dialect, InputError, MAX_FIELDS, MAX_RECORD};

/// Fields are counted only in records longer than this: shorter ones cannot have too many.
const COUNT_FIELDS_FROM: u64 = 64 << 10;

/// Why the scanner ends the input. It passes through the parser wrapped in an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("the record on line {line} is too long")]
    RecordTooLong { line: u64, in_quotes: bool },
    #[error("the record on line {line} has too many fields")]
    TooManyFields { line: u64 },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line end, or the first byte of a record.
    BetweenRecords,
    /// A record outside quotes. The previous byte is stored.
    Plain(u8),
    /// A quoted field.
    Quoted,
    /// A quoted field, after an escape.
    Escaped,
    /// A comment.
    Comment,
    /// A quoted field, after a quote that either ends it or is the first half of `""`.
    AfterQuote,
}

/// The input while it is scanned.
pub(super) struct Scanner<'a, R> {
    input: R,
    control: &'a dyn Control,
    dialect: Dialect,
    /// The first bytes, which are read on opening, and how many of them were returned.
    start: Vec<u8>,
    start_taken: usize,
    /// The length of the byte order mark at the start, which the parser skips.
    bom: usize,
    bytes_read: u64,
    ended: bool,

    state: State,
    /// The line of the next byte, from 1.
    line: u64,
    record_line: u64,
    record_length: u64,
    record_fields: u64,
    /// The lines of the records whose first bytes were returned but which the parser has not: as
    /// many as fit into its buffer.
    record_lines: VecDeque<u64>,
}

impl<'a, R: Read> Scanner<'a, R> {
    /// Reads the start of `input` and rejects files that are not CSV.
    pub(super) fn open(
        input: R,
        control: &'a dyn Control,
        dialect: Dialect,
    ) -> Result<Self, AggregationError> {
        let mut scanner = Self {
            input,
            control,
            dialect,
            start: vec![0; csv_input::START_BYTES],
            start_taken: 0,
            bom: 0,
            bytes_read: 0,
            ended: false,
            state: State::BetweenRecords,
            line: 1,
            record_line: 1,
            record_length: 0,
            record_fields: 0,
            record_lines: VecDeque::new(),
        };
        let mut length = 0;
        while let Some(rest) = scanner.start.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match read(&mut scanner.input, rest).map_err(InputError::Read)? {
                0 => break,
                n => length += n,
            }
        }
        scanner.start.truncate(length);
        csv_input::check_start(&scanner.start).map_err(InputError::NotCsv)?;
        if scanner.start.starts_with(csv_input::BOM) {
            scanner.bom = csv_input::BOM.len();
        }
        Ok(scanner)
    }

    /// The line on which the next record that the parser returned starts.
    pub(super) fn take_record_line(&mut self) -> u64 {
        self.record_lines.pop_front().unwrap_or(self.record_line)
    }

    /// Whether the record whose line was taken last reaches the end of the file inside quotes.
    pub(super) fn is_unterminated(&self) -> bool {
        let in_quotes = matches!(self.state, State::Quoted | State::Escaped);
        self.ended && in_quotes && self.record_lines.is_empty()
    }

    /// Whether all records were taken and the file ends within a comment, of which the parser makes
    /// a record.
    pub(super) fn ends_within_comment(&self) -> bool {
        self.ended && self.state == State::Comment && self.record_lines.is_empty()
    }

    /// Reads the next bytes without scanning them.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = &self.start[self.start_taken..];
        if start.is_empty() {
            return read(&mut self.input, buffer);
        }
        let length = start.len().min(buffer.len());
        buffer[..length].copy_from_slice(&start[..length]);
        self.start_taken += length;
        Ok(length)
    }

    fn scan(&mut self, mut rest: &[u8]) -> Result<(), Stop> {
        let quote = self.dialect.quote;
        let escape = self.dialect.escape.unwrap_or(quote);
        while let Some(&byte) = rest.first() {
            let previous_state = self.state;
            let length = match previous_state {
                State::BetweenRecords => {
                    match byte {
                        b'\n' => self.line += 1,
                        b'\r' => {}
                        byte if self.dialect.comment == Some(byte) => self.state = State::Comment,
                        _ => self.start_record(byte),
                    }
                    1
                }
                State::Plain(previous) => self.scan_plain(previous, rest),
                State::Comment => match memchr::memchr(b'\n', rest) {
                    None => rest.len(),
                    Some(at) => {
                        self.line += 1;
                        self.state = State::BetweenRecords;
                        at + 1
                    }
                },
                State::Escaped => {
                    self.line += u64::from(byte == b'\n');
                    self.state = State::Quoted;
                    1
                }
                State::Quoted => match memchr::memchr3(quote, escape, b'\n', rest) {
                    None => rest.len(),
                    Some(at) => {
                        match rest[at] {
                            b'\n' => self.line += 1,
                            byte if byte == quote => self.state = State::AfterQuote,
                            _ => self.state = State::Escaped,
                        }
                        at + 1
                    }
                },
                State::AfterQuote => {
                    match byte {
                        byte if byte == quote => self.state = State::Quoted,
                        b'\r' | b'\n' => self.end_record(byte),
                        _ => self.state = State::Plain(byte),
                    }
                    1
                }
            };
            rest = &rest[length..];
            if previous_state == State::Comment || self.state == State::Comment {
                continue;
            }
            let ended = self.state == State::BetweenRecords;
            if !ended || previous_state != State::BetweenRecords {
                // The line end is not part of the record.
                self.record_length += length as u64 - u64::from(ended);
                self.check_record()?;
            }
        }
        Ok(())
    }

    /// Scans up to the next byte that may change the state and returns the number of bytes.
    fn scan_plain(&mut self, previous: u8, rest: &[u8]) -> usize {
        let special = memchr::memchr3(b'\n', b'\r', self.dialect.quote, rest);
        let length = special.map_or(rest.len(), |at| at + 1);
        if self.record_length > COUNT_FIELDS_FROM {
            self.record_fields +=
                memchr::memchr_iter(self.dialect.delimiter.byte(), &rest[..length]).count() as u64;
        }
        let byte = rest[length - 1];
        let byte_before = if length == 1 { previous } else { rest[length - 2] };
        match byte {
            b'\n' | b'\r' => self.end_record(byte),
            byte if byte == self.dialect.quote && byte_before == self.dialect.delimiter.byte() => {
                self.state = State::Quoted
            }
            _ => self.state = State::Plain(byte),
        }
        length
    }

    fn start_record(&mut self, byte: u8) {
        self.record_line = self.line;
        self.record_lines.push_back(self.line);
        self.record_length = 0;
        self.record_fields = 0;
        self.state = if byte == self.dialect.quote { State::Quoted } else { State::Plain(byte) };
    }

    fn end_record(&mut self, terminator: u8) {
        self.line += u64::from(terminator == b'\n');
        self.state = State::BetweenRecords;
    }

    fn check_record(&self) -> Result<(), Stop> {
        let line = self.record_line;
        if self.record_length > MAX_RECORD {
            return Err(Stop::RecordTooLong { line, in_quotes: self.state == State::Quoted });
        }
        if self.record_fields > MAX_FIELDS as u64 {
            return Err(Stop::TooManyFields { line });
        }
        Ok(())
    }
}

impl<R: Read> Read for Scanner<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill(buffer)?;
        let mut bytes = &buffer[..length];
        if self.bytes_read == 0 {
            // The buffer of the parser is larger than the start, so the mark is not split.
            bytes = &bytes[self.bom.min(length)..];
        }
        self.bytes_read += length as u64;
        self.ended = length == 0;
        self.control
            .progress(self.bytes_read)
            .map_err(Stop::from)
            .and_then(|()| self.scan(bytes))
            .map_err(io::Error::other)?;
        Ok(length)
    }
}

/// Reads once, and again after an interruption by a signal.
fn read(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
