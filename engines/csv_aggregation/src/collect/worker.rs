//! One thread of an aggregation: takes chunks of the input and adds their rows to groups of its own.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use csv::ByteRecord;
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
use crate::read::input::{Chunk, Input};
use crate::read::row::Row;
use crate::read::{record, rejects};
use crate::spill::shards::Shards;
use crate::watch::Watch;

/// What all threads of an aggregation share.
pub(crate) struct Shared<'a, R> {
    pub(crate) input: Mutex<Input<R>>,
    pub(crate) header: &'a Header,
    pub(crate) options: &'a Options,
    pub(crate) watch: &'a Watch<'a>,
    pub(crate) shards: &'a Shards<'a>,
    /// Those that keep groups whole, where nothing of them is kept apart any more.
    pub(crate) whole: &'a Shards<'a>,
    /// That of all hashes.
    pub(crate) seed: u64,
    /// Memory in bytes for groups that a thread keeps for itself.
    pub(crate) own_memory: u64,
    /// Whether a bad row was found that ends the aggregation: behind it the others are read only to
    /// find the bad ones among them.
    pub(crate) failing: AtomicBool,
    /// Whether all chunks are taken.
    pub(crate) ended: AtomicBool,
    /// What threads find wrong.
    pub(crate) reports: Reports,
}

/// As many reports that tell nothing are sent together: each sending wakes who gathers them, and that
/// takes the processor from a thread that works.
const REPORTED_TOGETHER: usize = 32;

/// What a thread found.
pub(crate) struct Found {
    /// The groups that it has not shared.
    pub(crate) groups: Groups,
    /// Those of them that are kept whole.
    pub(crate) whole: Option<Groups>,
    pub(crate) rows: u64,
}

/// How rows are taken apart, and where they go.
struct Way<'a> {
    batch: Batch,
    dict: LocalDict<'a>,
    collector: Collector<'a>,
}

impl<'a> Way<'a> {
    fn new<R>(shared: &Shared<'a, R>, shards: &'a Shards<'a>) -> Self {
        Self {
            batch: Batch::new(shared.header, shards.dictionary(), shared.seed),
            dict: shards.dictionary().local(shared.seed),
            collector: Collector::new(shards, shared.own_memory),
        }
    }
}

/// One thread's part.
pub(crate) struct Worker<'a, R> {
    shared: &'a Shared<'a, R>,
    /// Which one of the threads it is, from 0.
    number: usize,
    check: RowCheck<'a>,
    way: Way<'a>,
    /// What it found before it kept groups whole.
    before: Option<Groups>,
    rows: u64,
    report: Report,
    /// Of the chunks before, not yet sent.
    reports: Vec<Report>,
    /// Of the chunk at hand: a position and its line, for the next bad row.
    line: (usize, u64),
    record: ByteRecord,
    values: Vec<i64>,
    key: Vec<u8>,
}

impl<'a, R: Read> Worker<'a, R> {
    /// That of the thread with this number, from 0.
    pub(crate) fn new(shared: &'a Shared<'a, R>, number: usize) -> Self {
        let (header, options) = (shared.header, shared.options);
        Self {
            shared,
            number,
            check: RowCheck::new(header, options),
            way: Way::new(shared, shared.shards),
            before: None,
            rows: 0,
            report: Report::default(),
            reports: Vec::new(),
            line: (0, 0),
            record: ByteRecord::new(),
            values: vec![0; header.sum.len()],
            key: Vec::new(),
        }
    }

    /// Takes chunks until there are none left. Each is reported.
    pub(crate) fn run(mut self, reports: &Sender<'_>) -> Result<Found, AggregationError> {
        let mut chunk = Chunk::default();
        let mut bounds = Bounds::default();
        while self.next(&mut chunk, reports)? {
            // Compressed, a little input may be a lot of work.
            self.shared.watch.checkpoint()?;
            self.line = (0, chunk.line);
            self.report.chunk = chunk.number;
            if self.before.is_none() && self.shared.shards.dictionary().is_closed() {
                self.keep_whole();
            }
            // Behind a bad row nothing is added any more.
            if chunk.scan.regular && !self.shared.failing.load(Ordering::Relaxed) {
                csv_structure::bounds(&chunk.data, &chunk.scan, &mut bounds);
                self.regular(&mut chunk, &bounds);
            } else {
                self.records(chunk.data.bytes(), 0);
            }
            let Way { batch, collector, .. } = &mut self.way;
            collector.end_chunk(batch.texts(&chunk.data), self.shared.watch)?;
            batch.start_chunk();
            if self.report.bad.count > 0 {
                self.shared.failing.store(true, Ordering::Relaxed);
            }
            let urgent = self.report.bad.count > 0 || self.report.rejected_rows > 0;
            self.reports.push(std::mem::take(&mut self.report));
            if urgent || self.reports.len() == REPORTED_TOGETHER {
                reports.send(std::mem::take(&mut self.reports))?;
            }
        }
        reports.send(self.reports)?;
        let Self { way, before, rows, .. } = self;
        let last = way.collector.into_own();
        let (groups, whole) = match before {
            Some(before) => (before, Some(last)),
            None => (last, None),
        };
        Ok(Found { groups, whole, rows })
    }

    /// From now on groups are kept whole.
    fn keep_whole(&mut self) {
        let way = std::mem::replace(&mut self.way, Way::new(self.shared, self.shared.whole));
        self.before = Some(way.collector.into_own());
    }

    /// Takes the next chunk, when this thread may work; false where there is none.
    fn next(&mut self, chunk: &mut Chunk, reports: &Sender<'_>) -> Result<bool, AggregationError> {
        let Shared { input, watch, ended, .. } = self.shared;
        if self.number >= watch.threads() {
            // Nobody is to wait for them meanwhile.
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

    /// The rows of a chunk in which the bounds of the fields are dict.
    fn regular(&mut self, chunk: &mut Chunk, bounds: &Bounds) {
        let Chunk { data, scan, .. } = chunk;
        let columns = self.shared.header.len();
        let plain_bytes = self.way.batch.joins() && is_plain(data.bytes());
        // Half a character in one field and half in the next are no text as a whole either.
        let text = scan.ascii || simdutf8::basic::from_utf8(data.bytes()).is_ok();
        let (mut first, mut records) = (0, bounds.records());
        while !records.is_empty() {
            let start = |row: usize| bounds.fields()[first + row * columns].start();
            let is_text = |row: usize| {
                text || simdutf8::basic::from_utf8(&data.bytes()[start(row)..start(row + 1)])
                    .is_ok()
            };
            // A row of one field could be a blank line.
            let count = if columns == 1 { 0 } else { regular_rows(records, first, columns) };
            let count = (0..count).take_while(|row| is_text(*row)).count();
            if count == 0 {
                // Those behind it go along: to look for regular ones costs as much as many rows.
                let others = other_rows(records, first, columns).max(1);
                let end = records[others - 1] as usize;
                self.records(&data.bytes()[..bounds.fields()[end].start()], start(0));
                (first, records) = (end, &records[others..]);
                continue;
            }
            let rows = Rows { bounds, first, count, plain_bytes };
            let mut others = Vec::new();
            let Way { batch, dict, collector } = &mut self.way;
            batch.take(data, rows, dict, |row| others.push(row));
            self.rows += batch.rows().0.len() as u64;
            collector.add_batch(batch.texts(data), batch);
            for row in others {
                self.records(&data.bytes()[..start(row + 1)], start(row));
            }
            (first, records) = (first + count * columns, &records[count..]);
        }
    }

    /// The records of `bytes` from `start` on, whatever they hold.
    fn records(&mut self, bytes: &[u8], mut start: usize) {
        let mut record = std::mem::take(&mut self.record);
        while let Some(scanned) = record::first(&bytes[start..], Some(&mut record)) {
            self.rows += 1;
            // Lines are counted only for invalid rows.
            let mut row = Row { fields: &record, line: 0, unterminated: scanned.in_quotes };
            match self.check.check(&row, &mut self.values) {
                Ok(()) => {
                    let Way { batch, dict, collector } = &mut self.way;
                    if !self.shared.failing.load(Ordering::Relaxed) {
                        batch.key_of(&record, &mut self.key);
                        let dict_id = dict.number_of(batch.dict_field(&record));
                        collector.add(&self.key, dict_id, &self.values);
                    }
                }
                Err(fault) => {
                    row.line = self.line_at(bytes, start + scanned.start);
                    self.fault(&fault, &row);
                }
            }
            start += scanned.end;
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
            OnBadRow::Fail => self.report.bad.add(|| fault.error(row, header)),
            OnBadRow::Skip => {
                self.report.rejected_rows += 1;
                rejects::write(&mut self.report.rejected, fault, row, header);
            }
        }
    }
}

/// How many rows of other numbers of columns come next.
fn other_rows(records: &[u32], first: usize, columns: usize) -> usize {
    let mut start = first;
    let is_other = |end: &&u32| {
        let fields = **end as usize - start;
        start = **end as usize;
        fields != columns
    };
    records.iter().take_while(is_other).count()
}

/// How many rows of so many columns come next, up to as many as a batch has. `records` tells which
/// of the fields' bounds ends each record, `first` is the one before the first of them.
fn regular_rows(records: &[u32], first: usize, columns: usize) -> usize {
    let records = &records[..records.len().min(BATCH)];
    let ends = (1..).map(|row| first as u32 + row * columns as u32);
    let same = records.iter().zip(ends).map(|(record, end)| *record == end);
    // Most often all of them are, and the compiler tests many at a time where no way leads out of it.
    if same.clone().fold(true, |all, same| all & same) {
        return records.len();
    }
    same.take_while(|same| *same).count()
}

/// Whether no byte needs to be escaped in a key of several fields.
fn is_plain(bytes: &[u8]) -> bool {
    memchr::memchr2(0, 1, bytes).is_none()
}
