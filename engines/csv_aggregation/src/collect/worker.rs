//! A worker thread: takes chunks of the input, parses them and adds their rows to groups.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use csv::ByteRecord;
use csv_input::Dialect;
use csv_structure::Bounds;

use crate::collect::batch::{Batch, Rows};
use crate::collect::collector::Collector;
use crate::collect::reports::{Report, Reports, Sender};
use crate::error::AggregationError;
use crate::group::dictionary::LocalDict;
use crate::group::entry::BATCH;
use crate::group::groups::Groups;
use crate::options::{OnBadRow, Options};
use crate::read::check::RowCheck;
use crate::read::fault::Fault;
use crate::read::header::Header;
use crate::read::input::{Chunk, Input, syntax};
use crate::read::row::Row;
use crate::read::{record, rejects};
use crate::spill::shards::Shards;
use crate::watch::Watch;

/// What all threads of an aggregation share.
pub(crate) struct Shared<'a, R> {
    pub(crate) input: Mutex<Input<R>>,
    /// How the fields are separated.
    pub(crate) dialect: Dialect,
    pub(crate) header: &'a Header,
    pub(crate) options: &'a Options,
    pub(crate) watch: &'a Watch<'a>,
    /// The shards for dictionary-encoded groups.
    pub(crate) shards: &'a Shards<'a>,
    /// The shards for inline groups, which are used once the dictionary is closed.
    pub(crate) inline: &'a Shards<'a>,
    /// The seed of all hashes.
    pub(crate) seed: u64,
    /// The memory in bytes for the private groups of each thread.
    pub(crate) private_memory: u64,
    /// Whether an invalid row was found that fails the aggregation. The rest is then read only to
    /// report other invalid rows.
    pub(crate) failing: AtomicBool,
    /// Whether all chunks were taken.
    pub(crate) ended: AtomicBool,
    /// The invalid rows found by all threads.
    pub(crate) reports: Reports,
}

/// The number of empty reports that are sent together. Each send wakes the thread that merges them,
/// which takes the processor from a worker.
const EMPTY_REPORTS: usize = 32;

/// The private groups of a worker, and its statistics.
pub(crate) struct WorkerOutput {
    /// The private groups; dictionary-encoded unless no column is.
    pub(crate) groups: Groups,
    /// The private groups that are inline because the dictionary was closed.
    pub(crate) inline: Option<Groups>,
    /// The number of rows read.
    pub(crate) rows: u64,
}

/// Parses rows and adds them to groups, in one of the two encodings.
struct Pipeline<'a> {
    batch: Batch,
    dict: LocalDict<'a>,
    collector: Collector<'a>,
}

impl<'a> Pipeline<'a> {
    fn new<R>(shared: &Shared<'a, R>, shards: &'a Shards<'a>) -> Self {
        Self {
            batch: Batch::new(shared.header, shards.dictionary(), shared.options, shared.seed),
            dict: shards.dictionary().local(shared.seed),
            collector: Collector::new(shards, shared.private_memory),
        }
    }
}

/// The state of a worker thread.
pub(crate) struct Worker<'a, R> {
    shared: &'a Shared<'a, R>,
    /// The number of the thread, from 0.
    number: usize,
    check: RowCheck<'a>,
    pipeline: Pipeline<'a>,
    /// The private groups from before the switch to inline ones.
    encoded: Option<Groups>,
    rows: u64,
    /// The report of the current chunk.
    report: Report,
    /// The reports of earlier chunks that have not been sent yet.
    reports: Vec<Report>,
    /// A position in the current chunk and its line, from which lines of later rows are counted.
    line: (usize, u64),
    record: ByteRecord,
    values: Vec<i64>,
    key: Vec<u8>,
}

impl<'a, R: Read> Worker<'a, R> {
    /// The worker of the thread with this number, from 0.
    pub(crate) fn new(shared: &'a Shared<'a, R>, number: usize) -> Self {
        let (header, options) = (shared.header, shared.options);
        Self {
            shared,
            number,
            check: RowCheck::new(header, options),
            pipeline: Pipeline::new(shared, shared.shards),
            encoded: None,
            rows: 0,
            report: Report::default(),
            reports: Vec::new(),
            line: (0, 0),
            record: ByteRecord::new(),
            values: vec![0; header.sum.len()],
            key: Vec::new(),
        }
    }

    /// Processes chunks until none are left, and sends a report of each.
    pub(crate) fn run(mut self, reports: &Sender<'_>) -> Result<WorkerOutput, AggregationError> {
        let mut chunk = Chunk::default();
        let mut bounds = Bounds::default();
        let syntax = syntax(self.shared.dialect);
        while self.next(&mut chunk, reports)? {
            // Reading is not enough: a little compressed input may be a lot of work.
            self.shared.watch.checkpoint()?;
            self.line = (0, chunk.line);
            self.report.chunk = chunk.number;
            if self.encoded.is_none() && self.shared.shards.dictionary().is_closed() {
                self.switch_to_inline();
            }
            // The fast path is of no use once the aggregation fails: rows are only checked then.
            if chunk.scan.regular && !self.shared.failing.load(Ordering::Relaxed) {
                csv_structure::bounds(&chunk.data, syntax, &chunk.scan, &mut bounds);
                self.add_regular(&mut chunk, &bounds);
            } else {
                self.add_records(chunk.data.bytes(), 0);
            }
            let Pipeline { batch, collector, .. } = &mut self.pipeline;
            collector.end_chunk(batch.texts(&chunk.data), self.shared.watch)?;
            batch.start_chunk();
            if self.report.bad.count > 0 {
                self.shared.failing.store(true, Ordering::Relaxed);
            }
            let is_empty = self.report.bad.count == 0 && self.report.rejected_rows == 0;
            self.reports.push(std::mem::take(&mut self.report));
            if !is_empty || self.reports.len() == EMPTY_REPORTS {
                reports.send(std::mem::take(&mut self.reports))?;
            }
        }
        reports.send(self.reports)?;
        let Self { pipeline, encoded, rows, .. } = self;
        let current = pipeline.collector.into_private();
        let (groups, inline) = match encoded {
            Some(encoded) => (encoded, Some(current)),
            None => (current, None),
        };
        Ok(WorkerOutput { groups, inline, rows })
    }

    /// Adds all further rows to inline groups.
    fn switch_to_inline(&mut self) {
        let inline = Pipeline::new(self.shared, self.shared.inline);
        let encoded = std::mem::replace(&mut self.pipeline, inline);
        self.encoded = Some(encoded.collector.into_private());
    }

    /// Takes the next chunk, once this thread may work. Returns false at the end of the input.
    fn next(&mut self, chunk: &mut Chunk, reports: &Sender<'_>) -> Result<bool, AggregationError> {
        let Shared { input, watch, ended, .. } = self.shared;
        if self.number >= watch.threads() {
            // Other threads must not wait for these reports meanwhile.
            reports.send(std::mem::take(&mut self.reports))?;
            watch.wait_for_turn(self.number, || ended.load(Ordering::Relaxed))?;
        }
        let any = input.lock().unwrap_or_else(PoisonError::into_inner).next(chunk)?;
        if !any {
            ended.store(true, Ordering::Relaxed);
            watch.wake();
        }
        Ok(any)
    }

    /// Adds the rows of a regular chunk with these field bounds.
    fn add_regular(&mut self, chunk: &mut Chunk, bounds: &Bounds) {
        let Chunk { data, scan, .. } = chunk;
        let columns = self.shared.header.len();
        let plain_bytes = self.pipeline.batch.joins() && is_plain(data.bytes());
        // Checking the chunk as a whole suffices: a character split by a comma is invalid here too.
        let text = scan.ascii || simdutf8::basic::from_utf8(data.bytes()).is_ok();
        let (mut first, mut records) = (0, bounds.records());
        while !records.is_empty() {
            let start = |row: usize| bounds.fields()[first + row * columns].start();
            let is_text = |row: usize| {
                text || simdutf8::basic::from_utf8(&data.bytes()[start(row)..start(row + 1)])
                    .is_ok()
            };
            // With a single column, a row could be a blank line: the slow path decides.
            let count = if columns == 1 { 0 } else { regular_rows(records, first, columns) };
            let count = (0..count).take_while(|row| is_text(*row)).count();
            if count == 0 {
                // Take all ragged rows that follow: starting a batch costs as much as many rows.
                let ragged = ragged_rows(records, first, columns).max(1);
                let end = records[ragged - 1] as usize;
                self.add_records(&data.bytes()[..bounds.fields()[end].start()], start(0));
                (first, records) = (end, &records[ragged..]);
                continue;
            }
            let rows = Rows { bounds, first, count, plain_bytes };
            let mut slow_rows = Vec::new();
            let Pipeline { batch, dict, collector } = &mut self.pipeline;
            batch.parse(data, rows, dict, |row| slow_rows.push(row));
            self.rows += batch.rows().0.len() as u64;
            collector.add_batch(batch.texts(data), batch);
            for row in slow_rows {
                self.add_records(&data.bytes()[..start(row + 1)], start(row));
            }
            (first, records) = (first + count * columns, &records[count..]);
        }
    }

    /// The slow path: adds or reports arbitrary records of `bytes`, from `start` on.
    fn add_records(&mut self, bytes: &[u8], mut start: usize) {
        let mut record = std::mem::take(&mut self.record);
        let dialect = self.shared.dialect;
        while let Some(scanned) = record::first(&bytes[start..], dialect, Some(&mut record)) {
            self.rows += 1;
            // Lines are counted only for invalid rows.
            let mut row = Row { fields: &record, line: 0, unterminated: scanned.in_quotes };
            match self.check.check(&row, &mut self.values) {
                Ok(()) => {
                    let Pipeline { batch, dict, collector } = &mut self.pipeline;
                    if !self.shared.failing.load(Ordering::Relaxed) {
                        batch.key_of(&record, &mut self.key);
                        let dict_id = dict.number_of(batch.dict_field(&record));
                        collector.add(&self.key, dict_id, &self.values);
                    }
                }
                Err(fault) => {
                    row.line = self.line_at(bytes, start + scanned.start);
                    self.report_fault(&fault, &row);
                }
            }
            start += scanned.end;
        }
        self.record = record;
    }

    /// The line of a position, which must not be before the previous one.
    fn line_at(&mut self, bytes: &[u8], at: usize) -> u64 {
        let (previous_at, line) = self.line;
        self.line = (at, line + record::lines(&bytes[previous_at..at]));
        self.line.1
    }

    fn report_fault(&mut self, fault: &Fault, row: &Row<'_>) {
        let header = &self.shared.header;
        match self.shared.options.on_bad_row {
            OnBadRow::Fail => self.report.bad.add(|| fault.error(row, header)),
            OnBadRow::Skip => {
                self.report.rejected_rows += 1;
                rejects::write(&mut self.report.rejected, fault, row, header);
            }
        }
    }
}

/// The number of rows at the start of `records` whose number of fields is not `columns`.
fn ragged_rows(records: &[u32], first: usize, columns: usize) -> usize {
    let mut start = first;
    let is_ragged = |end: &&u32| {
        let fields = **end as usize - start;
        start = **end as usize;
        fields != columns
    };
    records.iter().take_while(is_ragged).count()
}

/// The number of rows at the start of `records` that have `columns` fields, up to the size of a
/// batch. `records` are the indexes of the bounds that end each record, `first` is that of the
/// bound before the first one.
fn regular_rows(records: &[u32], first: usize, columns: usize) -> usize {
    let records = &records[..records.len().min(BATCH)];
    let ends = (1..).map(|row| first as u32 + row * columns as u32);
    let same = records.iter().zip(ends).map(|(record, end)| *record == end);
    // The common case, in a loop without an early exit, which the compiler vectorises.
    if same.clone().fold(true, |all, same| all & same) {
        return records.len();
    }
    same.take_while(|same| *same).count()
}

/// Whether no byte has to be escaped in a joined key.
fn is_plain(bytes: &[u8]) -> bool {
    memchr::memchr2(0, 1, bytes).is_none()
}
