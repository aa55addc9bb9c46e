//! One thread of an aggregation: takes chunks of the input and adds their rows to groups of its own.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use common::task::spec::OnBadRow;
use csv::ByteRecord;
use csv_structure::{End, Ends};

use super::error::BadRows;
use super::fault::Fault;
use super::groups::{Groups, Order};
use super::header::Header;
use super::input::{Chunk, Input};
use super::merge::Memory;
use super::quick::{QuickRow, QuickRows};
use super::rejects;
use super::row::{Row, RowCheck};
use super::runs::Runs;
use super::watch::Watch;
use super::{AggregationError, Interrupted, Options, record};

/// What all threads of an aggregation share.
pub(super) struct Shared<'a, R> {
    pub(super) input: Mutex<Input<R>>,
    pub(super) header: Header,
    pub(super) options: &'a Options,
    pub(super) watch: &'a Watch<'a>,
    /// Memory in bytes for the groups of each thread.
    pub(super) memory: u64,
    /// Whether a bad row was found that ends the aggregation: behind it the others are read only to
    /// find the bad ones among them.
    pub(super) failing: AtomicBool,
}

/// What is wrong with the rows of a chunk.
#[derive(Default)]
pub(super) struct Report {
    pub(super) chunk: u64,
    pub(super) bad: BadRows,
    /// The rejected rows as CSV, and how many they are.
    pub(super) rejected: Vec<u8>,
    pub(super) rejected_rows: u64,
}

/// What a thread found.
pub(super) struct Found {
    pub(super) groups: Groups,
    pub(super) order: Order,
    pub(super) runs: Runs,
    pub(super) rows: u64,
    /// At least as large as any value, without its sign.
    pub(super) largest: u64,
}

/// One thread's part.
pub(super) struct Worker<'a, R> {
    shared: &'a Shared<'a, R>,
    check: RowCheck<'a>,
    quick: QuickRows,
    groups: Groups,
    /// What did not fit into memory.
    runs: Runs,
    rows: u64,
    report: Report,
    /// Of the chunk at hand: a position and its line, for the next bad row.
    line: (usize, u64),
    record: ByteRecord,
    values: Vec<i64>,
}

impl<'a, R: Read> Worker<'a, R> {
    pub(super) fn new(shared: &'a Shared<'a, R>) -> Self {
        let (header, options) = (&shared.header, shared.options);
        Self {
            shared,
            check: RowCheck::new(header, options),
            quick: QuickRows::new(header, options),
            groups: Groups::new(header.sum.len(), options.check_dates),
            runs: Runs::new(&options.spill_folder, header.sum.len()),
            rows: 0,
            report: Report::default(),
            line: (0, 0),
            record: ByteRecord::new(),
            values: vec![0; header.sum.len()],
        }
    }

    /// Takes chunks until there are none left. Each is reported.
    pub(super) fn run(mut self, reports: &SyncSender<Report>) -> Result<Found, AggregationError> {
        let mut chunk = Chunk::default();
        let mut ends = Ends::default();
        while self.next(&mut chunk)? {
            // Compressed, a little input may be a lot of work.
            self.shared.watch.checkpoint()?;
            self.line = (0, chunk.line);
            self.report.chunk = chunk.number;
            if chunk.regular {
                csv_structure::ends(&chunk.data, chunk.quotes, &mut ends);
                match chunk.quotes {
                    false => self.regular::<false>(&chunk, &ends),
                    true => self.regular::<true>(&chunk, &ends),
                }
            } else {
                self.records(chunk.data.bytes(), 0);
            }
            self.spill()?;
            if self.report.bad.count > 0 {
                self.shared.failing.store(true, Ordering::Relaxed);
            }
            // Nobody listens any more when the work is to end.
            reports.send(std::mem::take(&mut self.report)).map_err(|_| Interrupted)?;
        }
        let order = self.groups.order(&|| self.shared.watch.checkpoint())?;
        let Self { groups, runs, rows, quick, .. } = self;
        Ok(Found { groups, order, runs, rows, largest: quick.largest })
    }

    /// Moves the groups to a file when they take too much memory.
    fn spill(&mut self) -> Result<(), AggregationError> {
        if self.groups.memory() <= self.shared.memory && !self.groups.is_full() {
            return Ok(());
        }
        let checkpoint = || self.shared.watch.checkpoint();
        let order = self.groups.order(&checkpoint)?;
        let written = self.runs.write(&mut Memory::new(&self.groups, &order), &checkpoint);
        written.map_err(AggregationError::spill)?;
        self.groups.clear();
        Ok(())
    }

    fn next(&self, chunk: &mut Chunk) -> Result<bool, AggregationError> {
        self.shared.input.lock().unwrap_or_else(PoisonError::into_inner).next(chunk)
    }

    /// The rows of a chunk in which the ends of the fields are known; with `QUOTES` there are quotes.
    fn regular<const QUOTES: bool>(&mut self, chunk: &Chunk, ends: &[End]) {
        let (data, bytes) = (chunk.data.padded(), chunk.data.bytes());
        let columns = self.shared.header.len();
        self.quick.start(bytes);
        // Half a character in one field and half in the next are no text as a whole either.
        let text = simdutf8::basic::from_utf8(bytes).is_ok();
        let failing = self.shared.failing.load(Ordering::Relaxed);
        let (mut start, mut index) = (0, 0);
        while index < ends.len() {
            if let Some(row_ends) = ends.get(index..index + columns)
                && let Some(last) = row_ends.last()
            {
                let end = last.at() + 1;
                let row = QuickRow { data, start, ends: row_ends };
                let may_be_quick =
                    !failing && (text || std::str::from_utf8(&bytes[start..end]).is_ok());
                if may_be_quick && self.quick.add::<QUOTES>(row, &mut self.groups) {
                    self.rows += 1;
                    index += columns;
                    start = end;
                    continue;
                }
            }
            let length = ends[index..].iter().position(|end| end.ends_record());
            index += length.map_or(ends.len(), |length| length + 1);
            let end = ends.get(index - 1).map_or(bytes.len(), |end| end.at() + 1);
            self.records(&bytes[..end], start);
            start = end;
        }
        self.groups.flush(data);
    }

    /// The records of `bytes` from `start` on, whatever they hold.
    fn records(&mut self, bytes: &[u8], mut start: usize) {
        let mut record = std::mem::take(&mut self.record);
        while let Some(found) = record::first(&bytes[start..], Some(&mut record)) {
            self.rows += 1;
            // The line is known only where it is asked for.
            let mut row = Row { fields: &record, line: 0, unterminated: found.quoted };
            match self.check.check(&row, &mut self.values) {
                Ok(()) => {
                    if !self.shared.failing.load(Ordering::Relaxed) {
                        self.quick.add_checked(&record, &self.values, &mut self.groups);
                    }
                }
                Err(fault) => {
                    row.line = self.line_at(bytes, start + found.start);
                    self.fault(&fault, &row);
                }
            }
            start += found.end;
        }
        self.record = record;
    }

    fn line_at(&mut self, bytes: &[u8], at: usize) -> u64 {
        let (known_at, line) = self.line;
        self.line = (at, line + record::lines(&bytes[known_at..at]));
        self.line.1
    }

    fn fault(&mut self, fault: &Fault, row: &Row<'_>) {
        let header = &self.shared.header;
        match self.shared.options.on_bad_row {
            OnBadRow::Fail => self.report.bad.add(|| fault.location(row, header)),
            OnBadRow::Skip => {
                self.report.rejected_rows += 1;
                rejects::write(&mut self.report.rejected, fault, row, header);
            }
        }
    }
}
