//! Splits the input into chunks of whole records.
//!
//! # Invariants
//! - A chunk starts at the start of a record (or of blank lines) and ends at the end of a record.
//!   The incomplete record after it is carried over to the next chunk.
//! - Chunks are numbered in file order. Each has the line number of its start.
//! - No more is buffered than the largest permitted record and one chunk.

use std::io::Read;

use csv::ByteRecord;
use csv_input::{Dialect, HeaderError, InputError, SAMPLE_BYTES, announced_delimiter};
use csv_structure::{PaddedBuffer, Scan, Syntax, scan};

use crate::error::AggregationError;
use crate::options::Options;
use crate::read::header::Header;
use crate::read::record;
use crate::read::row::Row;
use csv_input::{MAX_FIELDS, MAX_RECORD};

/// A piece of the input that consists of whole records.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) data: PaddedBuffer,
    /// The position of the chunk in the file, from 0.
    pub(crate) number: u64,
    /// The line on which the chunk starts, from 1.
    pub(crate) line: u64,
    /// What the scan of the chunk found. Chunks longer than [`MAX_FIELDS`] bytes are not scanned
    /// and count as irregular.
    pub(crate) scan: Scan,
}

/// The input, read sequentially.
pub(crate) struct Input<R> {
    input: R,
    /// How the fields are separated.
    dialect: Dialect,
    /// The size of a chunk in bytes, unless a record is longer.
    chunk_size: usize,
    /// Bytes that were read but are not part of a chunk yet. They start at the start of a record.
    carry: Vec<u8>,
    /// The line on which `carry` starts, from 1.
    line: u64,
    next_number: u64,
    ended: bool,
}

impl<R: Read> Input<R> {
    /// Reads the start of `input`, which is UTF-8 as far as it is valid, rejects files that are not CSV, skips a byte order mark and finds
    /// out how the fields are separated.
    pub(crate) fn open(
        input: R,
        chunk_size: usize,
        options: &Options,
    ) -> Result<Self, AggregationError> {
        let mut input = Self {
            input,
            dialect: Dialect::default(),
            chunk_size,
            carry: Vec::new(),
            line: 1,
            next_number: 0,
            ended: false,
        };
        input.carry_more(csv_input::START_BYTES)?;
        let start = input.carry.get(..csv_input::START_BYTES).unwrap_or(&input.carry);
        csv_input::check_start(start).map_err(InputError::NotCsv)?;
        if input.carry.starts_with(csv_input::BOM) {
            input.carry.drain(..csv_input::BOM.len());
        }
        let mut given = options.dialect;
        if let Some((announced, length)) = announced_delimiter(&input.carry) {
            input.line += record::lines(&input.carry[..length]);
            input.carry.drain(..length);
            given.delimiter.get_or_insert(announced);
        }
        let columns = options.columns();
        input.dialect = loop {
            match given.detect(&input.carry, input.ended, &columns) {
                Some(dialect) => break dialect,
                None => input.carry_more(SAMPLE_BYTES.saturating_sub(input.carry.len()))?,
            }
        };
        Ok(input)
    }

    /// How the fields are separated.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Reads the header, which is the first record.
    pub(crate) fn header(&mut self, options: &Options) -> Result<Header, AggregationError> {
        let mut fields = ByteRecord::new();
        loop {
            let scanned = record::first(&self.carry, self.dialect, Some(&mut fields));
            if let Some(record) = scanned {
                let line = self.line + record::lines(&self.carry[..record.start]);
                record.check_length(line, &self.carry)?;
                if record.terminated || self.ended {
                    let row = Row { fields: &fields, line, unterminated: record.in_quotes };
                    let header = Header::new(row, options).map_err(|error| {
                        let text = &self.carry[record.start..record.end];
                        let columns = options.columns();
                        error.with_fitting(|| options.dialect.fitting(text, self.dialect, &columns))
                    })?;
                    self.line += record::lines(&self.carry[..record.end]);
                    self.carry.drain(..record.end);
                    return Ok(header);
                }
            } else {
                // Only blank lines and comments, which need not be carried over.
                let skipped = self.carry.len() - self.open_comment(&self.carry)?;
                self.line += record::lines(&self.carry[..skipped]);
                self.carry.drain(..skipped);
                if self.ended {
                    return Err(HeaderError::EmptyFile.into());
                }
            }
            self.carry_more(self.more())?;
        }
    }

    /// Fills `chunk` with the next records. Returns false at the end of the input.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool, AggregationError> {
        loop {
            // The chunk starts with the carried bytes; new ones are read after them.
            let carried = self.carry.len();
            let more = self.more();
            let buffer = chunk.data.reserve(carried + more);
            buffer[..carried].copy_from_slice(&self.carry);
            let read = if self.ended { 0 } else { fill(&mut self.input, &mut buffer[carried..])? };
            self.ended |= read < more;
            chunk.data.set_len(carried + read);
            if chunk.data.bytes().is_empty() {
                return Ok(false);
            }
            let complete = self.complete(chunk)?;
            let rest = &chunk.data.bytes()[complete..];
            self.carry.clear();
            self.carry.extend_from_slice(rest);
            if complete == 0 {
                continue;
            }
            chunk.number = self.next_number;
            self.next_number += 1;
            chunk.line = self.line;
            self.line += chunk.scan.newlines - record::lines(&self.carry);
            chunk.data.set_len(complete);
            if self.ended && chunk.scan.regular && !chunk.data.bytes().ends_with(b"\n") {
                // Terminate the last record, so that the fast path can parse it like the others.
                chunk.data.reserve(complete + 1)[complete] = b'\n';
                chunk.data.set_len(complete + 1);
            }
            return Ok(true);
        }
    }

    /// Scans `chunk` and returns the length of its complete records.
    fn complete(&self, chunk: &mut Chunk) -> Result<usize, AggregationError> {
        let length = chunk.data.bytes().len();
        // Only a longer chunk can contain a record with too many bytes or fields; it is checked
        // record by record.
        if length <= MAX_FIELDS && !self.has_special(chunk.data.bytes()) {
            let scan = scan(&chunk.data, syntax(self.dialect));
            chunk.scan = scan;
            if scan.regular && !(self.ended && scan.ends_quoted) {
                return Ok(if self.ended { length } else { scan.complete });
            }
        }
        let mut bytes = chunk.data.bytes();
        chunk.scan = Scan { newlines: record::lines(bytes), ..Scan::default() };
        let mut line = self.line;
        while let Some(record) = record::first(bytes, self.dialect, None) {
            line += record::lines(&bytes[..record.start]);
            record.check_length(line, bytes)?;
            if !record.terminated && !self.ended {
                return Ok(length - bytes.len());
            }
            line += record::lines(&bytes[record.start..record.end]);
            bytes = &bytes[record.end..];
        }
        Ok(length - self.open_comment(bytes)?)
    }

    /// Whether `bytes` has bytes that may escape others or start comments, which the scan does not
    /// know.
    fn has_special(&self, bytes: &[u8]) -> bool {
        let Dialect { escape, comment, .. } = self.dialect;
        [escape, comment].into_iter().flatten().any(|byte| memchr::memchr(byte, bytes).is_some())
    }

    /// The length of the comment at the end of `bytes`, which have no record, if it may continue.
    fn open_comment(&self, bytes: &[u8]) -> Result<usize, AggregationError> {
        match record::skip_blank(bytes, self.dialect) {
            record::Skipped::Comment(start) if !self.ended => {
                let length = bytes.len() - start;
                if length as u64 > MAX_RECORD {
                    let line = self.line + record::lines(&bytes[..start]);
                    return Err(InputError::RecordTooLong { line, in_quotes: false }.into());
                }
                Ok(length)
            }
            _ => Ok(0),
        }
    }

    /// How many bytes to read after the carried ones. While a record is incomplete, its buffer
    /// grows by half of its size, so that rescanning it stays linear, but hardly beyond the largest
    /// permitted record.
    fn more(&self) -> usize {
        let carried = self.carry.len();
        (carried / 2).min((MAX_RECORD as usize).saturating_sub(carried)).max(self.chunk_size)
    }

    /// Reads up to `more` bytes into `carry`; fewer only at the end of the input.
    fn carry_more(&mut self, more: usize) -> Result<(), AggregationError> {
        let carried = self.carry.len();
        self.carry.resize(carried + more, 0);
        let read = fill(&mut self.input, &mut self.carry[carried..])?;
        self.carry.truncate(carried + read);
        self.ended |= read < more;
        Ok(())
    }
}

/// The bytes of a dialect that separate and enclose fields.
pub(crate) fn syntax(dialect: Dialect) -> Syntax {
    Syntax { delimiter: dialect.delimiter.byte(), quote: dialect.quote }
}

/// Fills `buffer` unless the input ends, and returns the number of bytes read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, AggregationError> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) => {
                return Err(AggregationError::read(error));
            }
        }
    }
    Ok(length)
}
