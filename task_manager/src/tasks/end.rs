//! The ends of tasks, as metrics and traces show them.

use std::time::SystemTime;

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskKind, TaskState};
use common::{clock, traces};

use super::Task;
use crate::metrics::metrics;

/// The end of a task, to be counted and traced after the commit.
#[derive(Debug, Clone)]
pub struct TaskEnd {
    id: TaskId,
    kind: TaskKind,
    state: TaskState,
    created_at: NaiveDateTime,
    attempts: u32,
    size: Option<u64>,
    /// The code of its problem, if it failed.
    error: Option<String>,
}

impl TaskEnd {
    /// The end of `task` in `state`; `error` is the code of its problem, if it failed.
    pub fn of(task: &Task, state: TaskState, error: Option<&str>) -> Self {
        Self {
            id: task.id,
            kind: task.kind(),
            state,
            created_at: task.created_at,
            attempts: task.attempt,
            size: task.input.as_ref().map(|input| input.size),
            error: error.map(str::to_owned),
        }
    }

    /// Counts it in the metrics, and completes the trace of the task.
    pub fn count(self) {
        metrics().task_ended(self.kind, self.state);
        let times = self.created_at.and_utc().into()..SystemTime::from(clock::now());
        let Some(root) = traces::root(self.id, self.kind.as_str(), times) else { return };
        let root = root
            .attribute("task.id", self.id.to_string())
            .attribute("task.kind", self.kind.as_str())
            .attribute("task.state", self.state.as_str())
            .count("task.attempts", self.attempts.into())
            .optional("task.input.size", self.size.and_then(|size| i64::try_from(size).ok()));
        match self.error {
            Some(error) => root.failed(error).record(),
            None => root.record(),
        }
    }
}
