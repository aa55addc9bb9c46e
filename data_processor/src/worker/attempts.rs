//! The attempts of this worker, from their claim until their last report is answered.
//!
//! # Invariants
//! - An attempt is here as long as the task manager may think that it is this worker's, so its
//!   lease is renewed and its delivery is not claimed a second time.
//! - A last report stays until it is answered: no failed call loses it.
//!
//! # Not here
//! Running them (`worker`), talking about them (`reporter`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::queue::Message;
use common::report::{Attempt, Event, Outcome, Report};
use common::task::{Progress, TaskId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rate::Rate;
use crate::processor::{Context, Interruption};
use crate::processors::{Size, size_of};

/// How often running attempts are reported: a stop reaches them within a second.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(800);

/// How many last reports go into one call at most: their transaction is to be short.
const LAST_REPORTS: usize = 256;

/// Identifies an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AttemptKey {
    pub(super) task_id: TaskId,
    pub(super) attempt: u32,
}

/// The table of them, shared by the worker and its reporter.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    table: Mutex<BTreeMap<AttemptKey, Entry>>,
    /// Rings for the reporter: there is something new to report.
    news: Notify,
    /// Rings for the worker: a last report was answered or an attempt was interrupted.
    answered: Notify,
}

#[derive(Debug)]
struct Entry {
    size: Size,
    dispatch: u32,
    context: Context,
    lease: Duration,
    /// When the call was sent that the task manager answered last: the lease is no older.
    renewed: Instant,
    /// When it was reported last, or claimed.
    reported: Instant,
    rate: Rate,
    /// How it ended. Without this it waits or runs.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    event: Event,
    /// Whether it replaces one that the task manager rejected.
    replaced: bool,
}

impl Attempts {
    fn table(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, Entry>> {
        // A panic while it was locked leaves a valid table: every change is complete in itself.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt that was claimed for `message` by a call sent at `claimed`.
    pub(super) fn add(
        &self,
        message: Message,
        attempt: &Attempt,
        context: Context,
        claimed: Instant,
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
            last: None,
        };
        self.table().insert(key, entry);
        self.news.notify_one();
        key
    }

    /// Whether the attempt that `message` asks for is here.
    pub(super) fn has(&self, message: Message) -> bool {
        let key = |attempt| AttemptKey { task_id: message.task_id, attempt };
        let table = self.table();
        table.range(key(0)..=key(u32::MAX)).any(|(_, entry)| entry.dispatch == message.dispatch)
    }

    /// Notes how attempts ended; without an event nothing more is said about one. All at once, so
    /// that they are reported together.
    pub(super) fn end(&self, ended: impl IntoIterator<Item = (AttemptKey, Option<Event>)>) {
        let mut table = self.table();
        for (key, event) in ended {
            match event {
                None => drop(table.remove(&key)),
                Some(event) => {
                    if let Some(entry) = table.get_mut(&key) {
                        entry.last = Some(Last { event, replaced: false });
                    }
                }
            }
        }
        drop(table);
        self.news.notify_one();
    }

    /// Interrupts everything that waits or runs.
    pub(super) fn interrupt_all(&self, why: Interruption) {
        for entry in self.table().values() {
            entry.context.interrupt(why);
        }
        self.answered.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// How many last reports of small or large tasks wait for their answer.
    pub(super) fn unanswered(&self, size: Size) -> usize {
        let table = self.table();
        table.values().filter(|entry| entry.size == size && entry.last.is_some()).count()
    }

    /// Waits for something new to report.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Waits until an answer changed something.
    pub(super) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// When the next heartbeat is due; none while nothing waits or runs.
    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        let table = self.table();
        let live = table.values().filter(|entry| entry.last.is_none());
        live.map(|entry| entry.reported + HEARTBEAT).min()
    }

    /// What is to be reported now: last reports at once, and the heartbeats of all others when
    /// one of them is due.
    pub(super) fn due(&self, now: Instant) -> Vec<Report> {
        let with_heartbeats = self.heartbeat_due().is_some_and(|due| due <= now);
        let mut last_reports = 0;
        let mut reports = Vec::new();
        for (key, entry) in self.table().iter_mut() {
            let event = match &entry.last {
                Some(last) if last_reports < LAST_REPORTS => {
                    last_reports += 1;
                    last.event.clone()
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

    /// Applies the answers to `reports`, sent at `sent`. Whether every last report among them is
    /// settled.
    pub(super) fn settle(&self, reports: &[Report], outcomes: Vec<Outcome>, sent: Instant) -> bool {
        let mut settled = true;
        let mut table = self.table();
        for (report, outcome) in reports.iter().zip(outcomes) {
            let key = AttemptKey { task_id: report.task_id, attempt: report.attempt };
            let Some(entry) = table.get_mut(&key) else { continue };
            let _in_span = entry.context.span().clone().entered();
            if !report.event.is_final() {
                entry.hear(outcome, sent);
            } else if entry.settle_last(report, outcome) {
                table.remove(&key);
            } else {
                settled = false;
            }
        }
        drop(table);
        self.answered.notify_one();
        settled
    }

    /// Interrupts every attempt whose lease must have run out, since the task manager has not
    /// answered for so long. It is reported all the same: a task manager that was frozen first does what it
    /// was asked before, and would renew the lease of an attempt that nobody runs any more.
    pub(super) fn give_up_expired(&self, now: Instant) {
        let mut interrupted = false;
        for entry in self.table().values().filter(|entry| entry.last.is_none()) {
            let expired = now.duration_since(entry.renewed) > entry.lease;
            if expired && entry.context.interruption().is_none() {
                entry.context.span().in_scope(|| {
                    tracing::warn!("the task manager is silent for longer than the lease holds");
                });
                entry.context.interrupt(Interruption::Silence);
                interrupted = true;
            }
        }
        if interrupted {
            self.answered.notify_one();
        }
    }
}

impl Entry {
    fn heartbeat(&mut self, now: Instant) -> Event {
        let (done, total) = self.context.done();
        let per_second = self.rate.update(now, done);
        let unit = || "bytes".to_owned();
        // Only where a file is read there is something to count.
        let progress = total.map(|_| Progress { done, total, unit: unit(), per_second });
        Event::Heartbeat { progress }
    }

    /// The answer to a heartbeat.
    fn hear(&mut self, outcome: Outcome, sent: Instant) {
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
        // A heartbeat repeats the answer until the attempt has ended; one line says it.
        if self.last.is_none() && self.context.interruption().is_none() {
            tracing::info!(?why, "the task manager interrupts the attempt");
            self.context.interrupt(why);
        }
    }

    /// The answer to a last report. Whether nothing remains to be said.
    fn settle_last(&mut self, report: &Report, outcome: Outcome) -> bool {
        let event = report.event.name();
        match outcome {
            Outcome::Accepted => tracing::debug!(event, "the last report was accepted"),
            Outcome::Stop | Outcome::Kill | Outcome::LeaseLost => {
                tracing::info!(event, ?outcome, "the last report came too late");
            }
            Outcome::Continue => {
                tracing::error!(event, "the task manager asks an ended attempt to go on");
                return false;
            }
            Outcome::Rejected { problem } => {
                tracing::error!(event, %problem, "the task manager rejected the last report");
                if let Some(last) = &mut self.last
                    && !last.replaced
                {
                    *last = Last { event: Event::Failed { error: *problem }, replaced: true };
                    return false;
                }
            }
        }
        true
    }
}
