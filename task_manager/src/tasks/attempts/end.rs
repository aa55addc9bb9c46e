//! The ends of attempts, as metrics and traces show them.

use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskKind};
use common::traces::SpanKind;
use common::{clock, traces};

use super::AttemptOutcome;
use crate::metrics::metrics;
use crate::tasks::Task;
use crate::tasks::end::TaskEnd;

/// The end of an attempt, to be counted after the commit.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    task_id: TaskId,
    attempt: u32,
    kind: TaskKind,
    outcome: AttemptOutcome,
    ran: Duration,
    /// The end of the task, if it ended too.
    task_ended: Option<TaskEnd>,
}

impl AttemptEnd {
    /// The end of the running attempt of `task`.
    pub fn of(
        task: &Task,
        outcome: AttemptOutcome,
        task_ended: Option<TaskEnd>,
        now: NaiveDateTime,
    ) -> Self {
        let ran = task.attempt_started_at.and_then(|started| (now - started).to_std().ok());
        Self {
            task_id: task.id,
            attempt: task.attempt,
            kind: task.kind(),
            outcome,
            ran: ran.unwrap_or_default(),
            task_ended,
        }
    }

    /// Traces that its report, received at this time, is recorded.
    pub fn trace_report(&self, received: SystemTime) {
        let times = received..SystemTime::from(clock::now());
        let Some(span) = traces::span(self.task_id, "record report", times) else { return };
        span.kind(SpanKind::Server)
            .attribute("task.kind", self.kind.as_str())
            .count("task.attempt", self.attempt.into())
            .attribute("task.attempt.outcome", self.outcome.as_str())
            .record();
    }

    /// Counts it in the metrics, and ends the trace of a task that ended.
    pub fn count(self) {
        metrics().attempt_ended(self.kind, self.outcome.as_str(), self.ran);
        if let Some(task) = self.task_ended {
            task.count();
        }
    }
}
