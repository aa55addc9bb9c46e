//! Actions on many tasks: the checkpoint has everything that is known about one.
//!
//! # Invariants
//! - The checkpoint is maintained by `lifecycle::bulk_actions` only: checkpoints and results in
//!   reports are ignored.
//!
//! # Not here
//! Selecting tasks and acting on them (`lifecycle::bulk_actions`).

pub mod store;

use chrono::NaiveDateTime;
use common::bulk_action::{ActionError, BulkActionResult, MAX_NAMED};
use common::task::spec::{BulkActionSpec, TaskSpec};
use common::task::{Progress, TaskId, TaskState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Records};
use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// How far a bulk action is; the checkpoint of its task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The last task that was selected by a filter, as a page token.
    pub after: Option<String>,
    /// How many of the given ids were selected.
    pub taken: usize,
    /// The tasks that were selected and not acted on yet.
    pub pending: Vec<TaskId>,
    /// For how many tasks it was done.
    pub done: u64,
    /// For how many tasks it was not possible.
    pub not_possible: u64,
    /// The first of these.
    pub errors: Vec<ActionError>,
}

impl State {
    /// That of a task of this kind.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    pub fn of(task: &Task) -> DbResult<Self> {
        match &task.checkpoint {
            Some(checkpoint) => Self::deserialize(checkpoint).map_err(DbError::corrupt),
            None => Ok(Self::default()),
        }
    }

    /// Counts a task for which it was done, or not.
    pub fn count(&mut self, outcome: Result<(), ActionError>) {
        match outcome {
            Ok(()) => self.done += 1,
            Err(error) => {
                self.not_possible += 1;
                if self.errors.len() < MAX_NAMED {
                    self.errors.push(error);
                }
            }
        }
    }

    /// How many tasks were acted on.
    fn acted_on(&self) -> u64 {
        self.done + self.not_possible
    }

    /// The progress, of about as many tasks as matched at first.
    pub fn progress(&self, spec: &BulkActionSpec) -> Progress {
        let done = self.acted_on();
        let known = done + self.pending.len() as u64;
        let total = Some(spec.matched.max(known));
        Progress { done, total, unit: "tasks".to_owned(), per_second: None, rejected_rows: None }
    }
}

/// The parameters of a task of this kind.
///
/// # Errors
/// It is of another kind.
pub fn spec(task: &Task) -> DbResult<&BulkActionSpec> {
    match &task.spec {
        TaskSpec::BulkAction(spec) => Ok(spec),
        _ => Err(DbError::corrupt("the task is not a bulk action")),
    }
}

/// The kind `bulk_action`.
pub struct BulkAction;

impl Kind for BulkAction {
    fn complete(
        &self,
        _conn: &mut DbConnection,
        task: &Task,
        _reported: &Value,
        _records: &mut Records,
        _now: NaiveDateTime,
    ) -> DbResult<Value> {
        let state = State::of(task)?;
        result(task, state.acted_on(), state)
    }

    /// The stored one.
    fn checkpoint(&self, task: &Task, _reported: Option<&Value>) -> Option<Value> {
        task.checkpoint.clone()
    }

    fn result_so_far(&self, task: &Task) -> Option<Value> {
        if task.checkpoint.is_none() || task.state == TaskState::Stopped {
            return None;
        }
        let matched = spec(task).ok()?.matched;
        result(task, matched, State::of(task).ok()?).ok()
    }
}

fn result(task: &Task, matched: u64, state: State) -> DbResult<Value> {
    let State { done, not_possible, errors, .. } = state;
    let action = spec(task)?.action;
    let result = BulkActionResult { action, matched, done, not_possible, errors };
    serde_json::to_value(result).map_err(DbError::corrupt)
}
