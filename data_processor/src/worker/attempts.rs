//! The attempts of this worker, from their claim until their final report is answered.
//!
//! # Invariants
//! - An attempt is in the table as long as the task manager may consider it this worker's, so its
//!   lease is renewed and its delivery is not claimed a second time.
//! - A final report stays in the table until it is answered, so a failed call does not lose it.
//!
//! # Not here
//! Running attempts (`worker`), sending reports (`reporter`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::queue::Message;
use common::report::{Attempt, Event, Outcome, Report};
use common::task::{Progress, TaskId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rate::Rate;
use super::spans::AttemptSpans;
use crate::processor::{Context, Interruption};
use crate::processors::{Size, size_of};

/// How often running attempts are reported: a stop reaches them within a second.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(800);

/// The maximum number of final reports in a call, so that their transaction is short.
const MAX_FINAL_REPORTS: usize = 256;

/// Identifies an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AttemptKey {
    pub(super) task_id: TaskId,
    pub(super) attempt: u32,
}

/// The table of attempts, shared by the worker and its reporter.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    table: Mutex<BTreeMap<AttemptKey, Entry>>,
    /// Notifies the reporter that an attempt was added or ended.
    changed: Notify,
    /// Notifies the worker that a report was answered or an attempt was interrupted.
    answered: Notify,
}

#[derive(Debug)]
struct Entry {
    size: Size,
    dispatch: u32,
    context: Context,
    lease: Duration,
    /// When the call was sent that last renewed the lease. The lease starts no earlier.
    renewed: Instant,
    /// When it was last reported; at first, when it was claimed.
    reported: Instant,
    rate: Rate,
    /// How it ended; `None` while it waits or runs.
    final_event: Option<FinalEvent>,
    /// Its spans, if spans are sent.
    spans: Option<AttemptSpans>,
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) key: AttemptKey,
    /// The event to report, if any.
    pub(super) event: Option<Event>,
    /// When it was started, if it was.
    pub(super) started: Option<Instant>,
}

#[derive(Debug)]
struct FinalEvent {
    event: Event,
    /// Whether it replaces an event that the task manager rejected.
    replaced: bool,
}

impl Attempts {
    fn table(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, Entry>> {
        // The table is valid even after a panic, since every change is a single operation.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt that was claimed for `message` by a call sent at `claimed`.
    pub(super) fn add(
        &self,
        message: Message,
        attempt: &Attempt,
        context: Context,
        claimed: Instant,
        spans: Option<AttemptSpans>,
    ) -> AttemptKey {
        let key = AttemptKey { task_id: attempt.task_id, attempt: attempt.attempt };
        let now = Instant::now();
        let entry = Entry {
            size: size_of(attempt.spec.kind()),
            dispatch: message.dispatch,
            context,
            lease: Duration::from_secs(attempt.lease),
            renewed: claimed,
            reported: now,
            rate: Rate::new(now),
            final_event: None,
            spans,
        };
        self.table().insert(key, entry);
        self.changed.notify_one();
        key
    }

    /// Whether the table contains the attempt that `message` asks for.
    pub(super) fn has(&self, message: Message) -> bool {
        let key = |attempt| AttemptKey { task_id: message.task_id, attempt };
        let table = self.table();
        table.range(key(0)..=key(u32::MAX)).any(|(_, entry)| entry.dispatch == message.dispatch)
    }

    /// Records how attempts ended; those without an event are not reported any more. Taking them
    /// together lets them share a report.
    pub(super) fn end(&self, ended: impl IntoIterator<Item = Ended>) {
        let mut table = self.table();
        for Ended { key, event, started } in ended {
            let Some(entry) = table.get_mut(&key) else { continue };
            if let Some(spans) = &mut entry.spans {
                spans.ran(started);
            }
            match event {
                None => {
                    entry.record_spans(None);
                    table.remove(&key);
                }
                Some(event) => {
                    entry.final_event = Some(FinalEvent { event, replaced: false });
                }
            }
        }
        drop(table);
        self.changed.notify_one();
    }

    /// Interrupts all attempts that wait or run.
    pub(super) fn interrupt_all(&self, why: Interruption) {
        for entry in self.table().values() {
            entry.context.interrupt(why);
        }
        self.answered.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// The number of final reports of small or large tasks that are unanswered.
    pub(super) fn unanswered(&self, size: Size) -> usize {
        let table = self.table();
        table.values().filter(|entry| entry.size == size && entry.final_event.is_some()).count()
    }

    /// Waits until an attempt was added or ended.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until a report was answered or an attempt was interrupted.
    pub(super) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// When the next heartbeat is due; `None` if no attempt waits or runs.
    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        let table = self.table();
        let live = table.values().filter(|entry| entry.final_event.is_none());
        live.map(|entry| entry.reported + HEARTBEAT).min()
    }

    /// The reports that are due: final reports immediately, and heartbeats of all other attempts
    /// when one of them is due.
    pub(super) fn due(&self, now: Instant) -> Vec<Report> {
        let with_heartbeats = self.heartbeat_due().is_some_and(|due| due <= now);
        let mut final_reports = 0;
        let mut reports = Vec::new();
        for (key, entry) in self.table().iter_mut() {
            let event = match &entry.final_event {
                Some(final_event) if final_reports < MAX_FINAL_REPORTS => {
                    final_reports += 1;
                    final_event.event.clone()
                }
                None if with_heartbeats => {
                    entry.reported = now;
                    entry.heartbeat(now)
                }
                _ => continue,
            };
            reports.push(Report { task_id: key.task_id, attempt: key.attempt, event });
        }
        reports
    }

    /// Applies the answers to `reports`, sent at `sent`. Returns whether every final report among
    /// them is settled.
    pub(super) fn settle(&self, reports: &[Report], outcomes: Vec<Outcome>, sent: Instant) -> bool {
        let mut settled = true;
        let mut table = self.table();
        for (report, outcome) in reports.iter().zip(outcomes) {
            let key = AttemptKey { task_id: report.task_id, attempt: report.attempt };
            let Some(entry) = table.get_mut(&key) else { continue };
            let _in_span = entry.context.span().clone().entered();
            if !report.event.is_final() {
                entry.on_heartbeat_answer(outcome, sent);
            } else if entry.settle_final(report, outcome) {
                entry.record_spans(Some((&report.event, sent)));
                table.remove(&key);
            } else {
                settled = false;
            }
        }
        drop(table);
        self.answered.notify_one();
        settled
    }

    /// Interrupts every attempt whose lease must have expired because the task manager does not
    /// answer. These attempts are reported nevertheless: a task manager that was frozen first
    /// processes earlier reports, which renew the lease of an attempt that no longer runs.
    pub(super) fn give_up_expired(&self, now: Instant) {
        let mut interrupted = false;
        for entry in self.table().values().filter(|entry| entry.final_event.is_none()) {
            let expired = now.duration_since(entry.renewed) > entry.lease;
            if expired && entry.context.interruption().is_none() {
                entry.context.span().in_scope(|| {
                    tracing::warn!("the lease expired: the task manager does not answer");
                });
                entry.context.interrupt(Interruption::LeaseExpired);
                interrupted = true;
            }
        }
        if interrupted {
            self.answered.notify_one();
        }
    }
}

impl Entry {
    /// Records the spans of the attempt, which is over.
    fn record_spans(&self, report: Option<(&Event, Instant)>) {
        if let Some(spans) = &self.spans {
            spans.record(&self.context, report);
        }
    }

    fn heartbeat(&mut self, now: Instant) -> Event {
        let (done, total) = self.context.done();
        let per_second = self.rate.update(now, done);
        let rejected_rows = self.context.rejected_rows();
        let unit = || "bytes".to_owned();
        // Only tasks with an input file have progress.
        let progress =
            total.map(|_| Progress { done, total, unit: unit(), per_second, rejected_rows });
        Event::Heartbeat { progress }
    }

    /// Applies the answer to a heartbeat.
    fn on_heartbeat_answer(&mut self, outcome: Outcome, sent: Instant) {
        let why = match outcome {
            Outcome::Continue | Outcome::Accepted => {
                self.renewed = sent;
                return;
            }
            Outcome::Rejected { problem } => {
                tracing::error!(%problem, "the task manager rejected a heartbeat");
                return;
            }
            Outcome::Stop => Interruption::Stop,
            Outcome::Kill => Interruption::Kill,
            Outcome::LeaseLost => Interruption::LeaseLost,
        };
        // The answer is repeated for each heartbeat until the attempt ends; it is logged once.
        if self.final_event.is_none() && self.context.interruption().is_none() {
            tracing::info!(?why, "the task manager interrupted the attempt");
            self.context.interrupt(why);
        }
    }

    /// Applies the answer to a final report. Returns whether the attempt is settled.
    fn settle_final(&mut self, report: &Report, outcome: Outcome) -> bool {
        let event = report.event.name();
        match outcome {
            Outcome::Accepted => tracing::debug!(event, "the final report was accepted"),
            Outcome::Stop | Outcome::Kill | Outcome::LeaseLost => {
                tracing::info!(event, ?outcome, "the final report came too late");
            }
            Outcome::Continue => {
                tracing::error!(event, "the task manager asks an ended attempt to continue");
                return false;
            }
            Outcome::Rejected { problem } => {
                tracing::error!(event, %problem, "the task manager rejected the final report");
                if let Some(final_event) = &mut self.final_event
                    && !final_event.replaced
                {
                    *final_event =
                        FinalEvent { event: Event::Failed { error: *problem }, replaced: true };
                    return false;
                }
            }
        }
        true
    }
}
