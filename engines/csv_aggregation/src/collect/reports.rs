//! Puts the reports of the worker threads into file order. A report lists the invalid rows of a
//! chunk.
//!
//! # Invariants
//! - Reports that wait for those of earlier chunks take bounded memory: a thread that is too far
//!   ahead blocks before it sends more.
//! - Sending the next report in file order never blocks, so there is no deadlock: each thread sends
//!   its reports in file order, so the thread with the next report can send it or is still working
//!   on it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csv_input::BadRows;

use crate::control::Interrupted;
use crate::watch::{EndOnPanic, Watch};

/// How often a blocked thread checks for an interrupt.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// The approximate memory of the location of a bad row in bytes.
const BAD_ROW_SIZE: usize = 256;

/// The invalid rows of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) chunk: u64,
    pub(crate) bad: BadRows,
    /// The rejected rows as CSV, and their number.
    pub(crate) rejected: Vec<u8>,
    pub(crate) rejected_rows: u64,
}

impl Report {
    /// The approximate memory of the report in bytes.
    fn memory(&self) -> usize {
        size_of::<Self>() + self.rejected.capacity() + self.bad.first.len() * BAD_ROW_SIZE
    }
}

/// The limits of the reports that wait for an earlier one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReorderLimits {
    /// How far ahead of the next report, in chunks, the first of the reports sent together may be.
    pub(crate) chunks: u64,
    /// The memory of all waiting reports in bytes.
    pub(crate) bytes: usize,
}

/// A queue that puts the reports of several threads in file order.
pub(crate) struct Reports {
    limits: ReorderLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The chunk of the next report.
    next: u64,
    waiting: BTreeMap<u64, Report>,
    /// The memory of the waiting reports.
    bytes: usize,
    /// The number of threads that have not dropped their senders.
    threads: usize,
}

/// The sending end of a thread. Dropping it closes it.
pub(crate) struct Sender<'a> {
    reports: &'a Reports,
    watch: &'a Watch<'a>,
    /// Otherwise other threads would wait for the reports of a thread that has panicked.
    _end_on_panic: EndOnPanic<'a>,
}

impl Reports {
    pub(crate) fn new(limits: ReorderLimits) -> Self {
        Self { limits, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Creates the sender of a thread. All are created before the first report is taken.
    pub(crate) fn sender<'a>(&'a self, watch: &'a Watch<'a>) -> Sender<'a> {
        self.lock().threads += 1;
        Sender { reports: self, watch, _end_on_panic: watch.end_on_panic() }
    }

    /// Takes the next reports in file order, and waits for the first of them. `None` when all
    /// senders are closed.
    pub(crate) fn take(&self) -> Option<Vec<Report>> {
        let mut state = self.lock();
        loop {
            let mut taken = Vec::new();
            while let Some(report) = state.take_next() {
                taken.push(report);
            }
            if !taken.is_empty() {
                self.changed.notify_all();
                return Some(taken);
            }
            if state.threads == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_next(&mut self) -> Option<Report> {
        let report = self.waiting.remove(&self.next)?;
        self.next += 1;
        self.bytes -= report.memory();
        Some(report)
    }

    /// Whether reports from the chunk `first` on may be added.
    fn has_room(&self, first: u64, bytes: usize, limits: ReorderLimits) -> bool {
        first <= self.next
            || (first < self.next + limits.chunks && self.bytes + bytes <= limits.bytes)
    }
}

impl Sender<'_> {
    /// Sends reports of this thread, in file order. Blocks while they are too far ahead.
    pub(crate) fn send(&self, reports: Vec<Report>) -> Result<(), Interrupted> {
        let Self { reports: shared, watch, .. } = self;
        let Some(first) = reports.first().map(|report| report.chunk) else { return Ok(()) };
        let bytes: usize = reports.iter().map(Report::memory).sum();
        let mut state = shared.lock();
        while !state.has_room(first, bytes, shared.limits) {
            let waited = shared.changed.wait_timeout(state, CHECK_EVERY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            watch.checkpoint()?;
            state = shared.lock();
        }
        state.bytes += bytes;
        state.waiting.extend(reports.into_iter().map(|report| (report.chunk, report)));
        if state.waiting.contains_key(&state.next) {
            shared.changed.notify_all();
        }
        Ok(())
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        self.reports.lock().threads -= 1;
        self.reports.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::tests::Unlimited;

    fn report(chunk: u64, bytes: usize) -> Report {
        Report { chunk, rejected: vec![b'x'; bytes], ..Report::default() }
    }

    /// Waits until `count` reports wait.
    fn wait_for(reports: &Reports, count: usize) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut state = reports.lock();
        while state.waiting.len() < count {
            assert!(Instant::now() < deadline, "only {} wait", state.waiting.len());
            state = reports.changed.wait_timeout(state, CHECK_EVERY).unwrap().0;
        }
        state
    }

    #[test]
    fn waiting_reports_take_bounded_memory() {
        const SIZE: usize = 10_000;
        const BYTES: usize = 100_000;
        let one = report(0, SIZE).memory();
        for (limits, max) in [
            (ReorderLimits { chunks: 1_000, bytes: BYTES }, BYTES / one),
            (ReorderLimits { chunks: 7, bytes: usize::MAX }, 6),
        ] {
            let (reports, watch) = (Reports::new(limits), Watch::new(&Unlimited));
            let (slow, fast) = (reports.sender(&watch), reports.sender(&watch));
            thread::scope(|scope| {
                scope.spawn(move || {
                    (1..200).try_for_each(|chunk| fast.send(vec![report(chunk, SIZE)])).unwrap();
                });
                let state = wait_for(&reports, max);
                assert_eq!((state.waiting.len(), state.bytes), (max, max * one));
                assert!(!state.has_room(max as u64 + 1, one, limits));
                drop(state);
                slow.send(vec![report(0, 2 * BYTES)]).unwrap();
                drop(slow);
                let mut taken = Vec::new();
                while let Some(more) = reports.take() {
                    taken.extend(more.into_iter().map(|report| report.chunk));
                }
                assert_eq!(taken, (0..200).collect::<Vec<_>>());
            });
        }
    }

    #[test]
    fn the_next_report_in_file_order_never_blocks() {
        // Every thread collects some reports before it sends them, as workers do with empty ones.
        let reports = Reports::new(ReorderLimits { chunks: 1, bytes: 0 });
        let watch = Watch::new(&Unlimited);
        let next = Mutex::new(0..1_000_u64);
        let senders: Vec<_> = (0..8).map(|_| reports.sender(&watch)).collect();
        thread::scope(|scope| {
            for (batch, sender) in (1..).zip(senders) {
                let next = &next;
                scope.spawn(move || {
                    let mut collected = Vec::new();
                    while let Some(chunk) = { next.lock().unwrap().next() } {
                        collected.push(report(chunk, chunk as usize % 50));
                        if collected.len() == batch {
                            sender.send(std::mem::take(&mut collected)).unwrap();
                        }
                    }
                    sender.send(collected).unwrap();
                });
            }
            let mut taken = Vec::new();
            while let Some(more) = reports.take() {
                taken.extend(more.into_iter().map(|report| report.chunk));
            }
            assert_eq!(taken, (0..1_000).collect::<Vec<_>>());
        });
    }

    #[test]
    fn no_thread_waits_for_one_that_has_panicked() {
        let (reports, watch) =
            (Reports::new(ReorderLimits { chunks: 1, bytes: 0 }), Watch::new(&Unlimited));
        let (lost, other) = (reports.sender(&watch), reports.sender(&watch));
        thread::scope(|scope| {
            let lost = scope.spawn(move || {
                let _lost = lost;
                panic!("a test of panics");
            });
            assert!(lost.join().is_err());
            assert_eq!(other.send(vec![report(1, 1)]), Err(Interrupted));
            drop(other);
            assert!(reports.take().is_none());
        });
    }
}
