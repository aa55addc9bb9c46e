//! The spans of an attempt in the trace of its task, recorded when the attempt is over.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use common::clock;
use common::report::{Attempt, Event};
use common::task::{TaskId, TaskKind};
use common::traces::{self, SpanKind};
use tokio::time::Instant;

use crate::processor::{Context, Interruption};

/// The worker, as its spans name it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) worker: Arc<str>,
    /// The kind of the queue.
    pub(super) queue: &'static str,
}

/// The times of an attempt.
#[derive(Debug)]
pub(super) struct AttemptSpans {
    source: Source,
    task_id: TaskId,
    attempt: u32,
    kind: TaskKind,
    claim: Range<Instant>,
    run: Option<Range<Instant>>,
}

impl AttemptSpans {
    /// The spans of an attempt that was claimed by a call sent at `sent`; none if spans are not sent.
    pub(super) fn of(source: &Source, attempt: &Attempt, sent: Instant) -> Option<Self> {
        traces::are_on().then(|| Self {
            source: source.clone(),
            task_id: attempt.task_id,
            attempt: attempt.attempt,
            kind: attempt.spec.kind(),
            claim: sent..Instant::now(),
            run: None,
        })
    }

    /// Notes that the attempt was started then, and ends now.
    pub(super) fn ran(&mut self, started: Option<Instant>) {
        self.run = started.map(|started| started..Instant::now());
    }

    /// Records the spans of an attempt that ends now. `report` is its final event and when that was
    /// sent; none if the task manager has interrupted the attempt.
    pub(super) fn record(&self, context: &Context, report: Option<(&Event, Instant)>) {
        let clock = Clock::now();
        let name = format!("process {}", self.kind);
        let times = clock.times(&(self.claim.start..clock.instant));
        let Some(span) = traces::span(self.task_id, name, times) else { return };
        let event = report.map(|(event, _)| event);
        let span = span
            .kind(SpanKind::Consumer)
            .attribute("messaging.system", self.source.queue)
            .attribute("messaging.operation.type", "process")
            .attribute("messaging.operation.name", "process")
            .attribute("messaging.destination.name", self.kind.as_str())
            .attribute("task.kind", self.kind.as_str())
            .count("task.attempt", self.attempt.into())
            .attribute("task.attempt.outcome", event.map_or("interrupted", Event::name))
            .attribute("task.worker", self.source.worker.to_string());
        let (done, total) = context.done();
        // Only tasks with an input file count bytes.
        let span = match total {
            Some(_) => span.count("task.input.bytes_read", done),
            None => span,
        };
        let span = span.optional("task.rows", event.and_then(rows));
        span.child("claim", clock.times(&self.claim)).kind(SpanKind::Client).record();
        if let Some(run) = &self.run {
            span.child("run", clock.times(run)).record();
        }
        if let Some((_, sent)) = report {
            let times = clock.times(&(sent..clock.instant));
            span.child("report", times).kind(SpanKind::Client).record();
        }
        match error(event, context.interruption()) {
            Some(error) => span.failed(error).record(),
            None => span.record(),
        }
    }
}

/// The code of the error of an attempt, if it has one.
fn error(event: Option<&Event>, interruption: Option<Interruption>) -> Option<String> {
    match event {
        Some(Event::Failed { error }) => Some(error.code.clone()),
        Some(Event::Retry { reason: Some(_), .. }) => Some("transient_error".to_owned()),
        None if interruption == Some(Interruption::LeaseLost) => Some("lease_lost".to_owned()),
        _ => None,
    }
}

/// The number of rows in a result that has one.
fn rows(event: &Event) -> Option<i64> {
    let Event::Completed { result, .. } = event else { return None };
    ["rows_read", "rows_loaded"].into_iter().find_map(|name| result.get(name)?.as_i64())
}

/// The wall clock, read once, so that the spans of an attempt fit together.
struct Clock {
    instant: Instant,
    time: SystemTime,
}

impl Clock {
    fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::from(clock::now()) }
    }

    fn times(&self, range: &Range<Instant>) -> Range<SystemTime> {
        let time = |instant: Instant| self.time - self.instant.saturating_duration_since(instant);
        time(range.start)..time(range.end)
    }
}
