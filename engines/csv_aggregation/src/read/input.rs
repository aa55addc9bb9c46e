//! The input in chunks of whole records.
//!
//! # Invariants
//! - A chunk starts with a record (or blank lines) and ends with one; what follows the last one is
//!   carried to the next chunk.
//! - The chunks are numbered in the order of the file, and each knows the line on which it starts.
//! - No more is read than one record may take, and a chunk.

use std::io::Read;

use csv::ByteRecord;
use csv_input::{HeaderError, InputError};
use csv_structure::{PaddedBuffer, Scan, scan};

use crate::error::AggregationError;
use crate::read::record;
use csv_input::{MAX_FIELDS, MAX_RECORD};

/// Whole records.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) data: PaddedBuffer,
    /// Its place in the file, from 0.
    pub(crate) number: u64,
    /// The line on which it starts, from 1.
    pub(crate) line: u64,
    /// What is in it. One that is too long for that counts as not regular.
    pub(crate) scan: Scan,
}

/// The input, read from its start to its end.
pub(crate) struct Input<R> {
    input: R,
    /// How much a chunk holds, unless a record needs more.
    chunk_size: usize,
    /// What is read and not yet part of a chunk; it starts with a record.
    carry: Vec<u8>,
    /// The line on which it starts, from 1.
    line: u64,
    next_number: u64,
    ended: bool,
}

impl<R: Read> Input<R> {
    /// Reads the start of `input` and looks whether it is CSV at all.
    pub(crate) fn open(input: R, chunk_size: usize) -> Result<Self, AggregationError> {
        let carry = Vec::new();
        let mut input = Self { input, chunk_size, carry, line: 1, next_number: 0, ended: false };
        input.carry_more(csv_input::START_BYTES)?;
        let start = input.carry.get(..csv_input::START_BYTES).unwrap_or(&input.carry);
        csv_input::check_start(start).map_err(InputError::NotCsv)?;
        if input.carry.starts_with(csv_input::BOM) {
            input.carry.drain(..csv_input::BOM.len());
        }
        Ok(input)
    }

    /// Takes the first record: its fields, its line and whether it ends inside quotes.
    pub(crate) fn header(&mut self) -> Result<(ByteRecord, u64, bool), AggregationError> {
        let mut fields = ByteRecord::new();
        loop {
            let found = record::first(&self.carry, Some(&mut fields));
            if let Some(found) = found {
                let line = self.line + record::lines(&self.carry[..found.start]);
                found.check_length(line, &self.carry)?;
                if found.ended || self.ended {
                    self.line += record::lines(&self.carry[..found.end]);
                    self.carry.drain(..found.end);
                    return Ok((fields, line, found.quoted));
                }
            } else {
                // Blank lines need not be kept.
                self.line += record::lines(&self.carry);
                self.carry.clear();
                if self.ended {
                    return Err(HeaderError::EmptyFile.into());
                }
            }
            self.carry_more(self.more())?;
        }
    }

    /// Fills `chunk` with the next records; false where there are none left.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool, AggregationError> {
        loop {
            // A chunk is read behind what is carried.
            let have = self.carry.len();
            let more = self.more();
            let room = chunk.data.reserve(have + more);
            room[..have].copy_from_slice(&self.carry);
            let read = if self.ended { 0 } else { fill(&mut self.input, &mut room[have..])? };
            self.ended |= read < more;
            chunk.data.set_len(have + read);
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
                // The last record ends like the others.
                chunk.data.reserve(complete + 1)[complete] = b'\n';
                chunk.data.set_len(complete + 1);
            }
            return Ok(true);
        }
    }

    /// Scans `chunk`, and returns how long its records are that have ended.
    fn complete(&self, chunk: &mut Chunk) -> Result<usize, AggregationError> {
        let length = chunk.data.bytes().len();
        // A chunk that could hold a record or a number of fields that is too large is looked at
        // record by record.
        if length <= MAX_FIELDS {
            let scan = scan(&chunk.data);
            chunk.scan = scan;
            if scan.regular && !(self.ended && scan.ends_quoted) {
                return Ok(if self.ended { length } else { scan.complete });
            }
        }
        let mut bytes = chunk.data.bytes();
        chunk.scan = Scan { newlines: record::lines(bytes), ..Scan::default() };
        let mut line = self.line;
        while let Some(found) = record::first(bytes, None) {
            line += record::lines(&bytes[..found.start]);
            found.check_length(line, bytes)?;
            if !found.ended && !self.ended {
                return Ok(length - bytes.len());
            }
            line += record::lines(&bytes[found.start..found.end]);
            bytes = &bytes[found.end..];
        }
        Ok(length)
    }

    /// How much to read behind what is carried. A long record grows by a part of itself, so that it
    /// is not looked at over and over, but hardly beyond what a record may be.
    fn more(&self) -> usize {
        let have = self.carry.len();
        (have / 2).min((MAX_RECORD as usize).saturating_sub(have)).max(self.chunk_size)
    }

    /// Reads until there are `more` bytes more, or no more.
    fn carry_more(&mut self, more: usize) -> Result<(), AggregationError> {
        let have = self.carry.len();
        self.carry.resize(have + more, 0);
        let read = fill(&mut self.input, &mut self.carry[have..])?;
        self.carry.truncate(have + read);
        self.ended |= read < more;
        Ok(())
    }
}

/// Fills `buffer` unless the input ends, and returns how much was read.
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
