//! The ends of attempts, as the metrics count them.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::task::{TaskKind, TaskState};

use super::AttemptOutcome;
use crate::metrics::metrics;
use crate::tasks::Task;

/// The end of an attempt, to be counted after the commit.
#[derive(Debug, Clone, Copy)]
pub struct AttemptEnd {
    kind: TaskKind,
    outcome: AttemptOutcome,
    ran: Duration,
    /// The state of the task, if it ended too.
    task_ended: Option<TaskState>,
}

impl AttemptEnd {
    /// The end of the running attempt of `task`.
    pub fn of(
        task: &Task,
        outcome: AttemptOutcome,
        task_ended: Option<TaskState>,
        now: NaiveDateTime,
    ) -> Self {
        let ran = task.attempt_started_at.and_then(|started| (now - started).to_std().ok());
        Self { kind: task.kind(), outcome, ran: ran.unwrap_or_default(), task_ended }
    }

    /// Counts it in the metrics.
    pub fn count(self) {
        metrics().attempt_ended(self.kind, self.outcome.as_str(), self.ran);
        if let Some(state) = self.task_ended {
            metrics().task_ended(self.kind, state);
        }
    }
}
