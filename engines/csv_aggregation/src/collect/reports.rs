//! What is wrong with the rows of chunks, on its way from the threads that find it to the one that
//! writes it, in the order of the file.
//!
//! # Invariants
//! - What waits for the report of an earlier chunk takes bounded memory: a thread that is too far
//!   reorder waits with its next report.
//! - The report of the first chunk that is missing never waits. A thread hands its reports over in
//!   the order of their chunks, so either that one can be handed over or its thread is still at
//!   work on it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csv_input::BadRows;

use crate::control::Interrupted;
use crate::watch::{EndOnPanic, Watch};

/// A thread that waits looks for an interrupt so often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the place of a bad row takes in memory, about.
const OF_BAD_ROW: usize = 256;

/// What is wrong with the rows of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) chunk: u64,
    pub(crate) bad: BadRows,
    /// The rejected rows as CSV, and how many they are.
    pub(crate) rejected: Vec<u8>,
    pub(crate) rejected_rows: u64,
}

impl Report {
    /// About what it takes in bytes.
    fn memory(&self) -> usize {
        size_of::<Self>() + self.rejected.capacity() + self.bad.first.len() * OF_BAD_ROW
    }
}

/// How much may wait for an earlier report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReorderLimits {
    /// The reports that a thread hands over together may start so many chunks behind the first one
    /// that is missing.
    pub(crate) chunks: u64,
    /// Bytes of all reports that wait.
    pub(crate) bytes: usize,
}

/// Reports that wait for those of earlier chunks.
pub(crate) struct Reports {
    reorder: ReorderLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The chunk whose report is next.
    next: u64,
    waiting: BTreeMap<u64, Report>,
    /// What those that wait take.
    bytes: usize,
    /// How many threads may hand over more.
    threads: usize,
}

/// One thread's end, which says when it is dropped that no more reports come from it.
pub(crate) struct Sender<'a> {
    reports: &'a Reports,
    watch: &'a Watch<'a>,
    /// No thread is to wait for a report that never comes.
    _end_on_panic: EndOnPanic<'a>,
}

impl Reports {
    pub(crate) fn new(reorder: ReorderLimits) -> Self {
        Self { reorder, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The end of one more thread. All are made before the first report is taken.
    pub(crate) fn sender<'a>(&'a self, watch: &'a Watch<'a>) -> Sender<'a> {
        self.lock().threads += 1;
        Sender { reports: self, watch, _end_on_panic: watch.end_on_panic() }
    }

    /// Takes the next reports in order; waits for the first of them. `None` where no more come.
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

    fn has_room(&self, first: u64, bytes: usize, reorder: ReorderLimits) -> bool {
        first <= self.next
            || (first < self.next + reorder.chunks && self.bytes + bytes <= reorder.bytes)
    }
}

impl Sender<'_> {
    /// Hands over reports of this thread, which are in order. It waits while it is too far reorder.
    pub(crate) fn send(&self, reports: Vec<Report>) -> Result<(), Interrupted> {
        let Self { reports: shared, watch, .. } = self;
        let Some(first) = reports.first().map(|report| report.chunk) else { return Ok(()) };
        let bytes: usize = reports.iter().map(Report::memory).sum();
        let mut state = shared.lock();
        while !state.has_room(first, bytes, shared.reorder) {
            let waited = shared.changed.wait_timeout(state, LOOK_EVERY);
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
    use crate::tests::Free;

    fn report(chunk: u64, bytes: usize) -> Report {
        Report { chunk, rejected: vec![b'x'; bytes], ..Report::default() }
    }

    /// Waits until so many reports wait.
    fn wait_for(reports: &Reports, count: usize) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut state = reports.lock();
        while state.waiting.len() < count {
            assert!(Instant::now() < deadline, "only {} wait", state.waiting.len());
            state = reports.changed.wait_timeout(state, LOOK_EVERY).unwrap().0;
        }
        state
    }

    #[test]
    fn what_waits_for_the_first_report_is_bounded() {
        const SIZE: usize = 10_000;
        const BYTES: usize = 100_000;
        let one = report(0, SIZE).memory();
        for (reorder, most) in [
            (ReorderLimits { chunks: 1_000, bytes: BYTES }, BYTES / one),
            (ReorderLimits { chunks: 7, bytes: usize::MAX }, 6),
        ] {
            let (reports, watch) = (Reports::new(reorder), Watch::new(&Free));
            let (slow, fast) = (reports.sender(&watch), reports.sender(&watch));
            thread::scope(|scope| {
                scope.spawn(move || {
                    (1..200).try_for_each(|chunk| fast.send(vec![report(chunk, SIZE)])).unwrap();
                });
                let state = wait_for(&reports, most);
                assert_eq!((state.waiting.len(), state.bytes), (most, most * one));
                assert!(!state.has_room(most as u64 + 1, one, reorder));
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
    fn any_thread_may_deliver_the_next_missing_report_without_waiting() {
        // Every thread keeps some reports back, as those do that have nothing to tell.
        let reports = Reports::new(ReorderLimits { chunks: 1, bytes: 0 });
        let watch = Watch::new(&Free);
        let next = Mutex::new(0..1_000_u64);
        let senders: Vec<_> = (0..8).map(|_| reports.sender(&watch)).collect();
        thread::scope(|scope| {
            for (kept, sender) in (1..).zip(senders) {
                let next = &next;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(chunk) = { next.lock().unwrap().next() } {
                        mine.push(report(chunk, chunk as usize % 50));
                        if mine.len() == kept {
                            sender.send(std::mem::take(&mut mine)).unwrap();
                        }
                    }
                    sender.send(mine).unwrap();
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
    fn nobody_waits_for_a_thread_that_has_panicked() {
        let (reports, watch) =
            (Reports::new(ReorderLimits { chunks: 1, bytes: 0 }), Watch::new(&Free));
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
