//! Actions on many tasks, and their outcome: the result of a `bulk_action` task.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::{TaskId, TaskState};

/// The number of tasks that a result names with the reason why the action was not possible.
pub const MAX_NAMED: usize = 1_000;

/// What happens to each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// It ends, and its data is rolled back.
    Stop,
    /// It ends, and its durable data is kept.
    Kill,
    /// It is queued again.
    Resume,
    /// It is deleted with all its data.
    Delete,
}

/// The outcome of a bulk action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkActionResult {
    /// What happened to each task.
    pub action: BulkAction,
    /// How many tasks matched.
    pub matched: u64,
    /// For how many it was done.
    pub done: u64,
    /// For how many it was not possible.
    pub not_possible: u64,
    /// The first 1,000 of these, with the reasons.
    pub errors: Vec<ActionError>,
}

/// A task for which the action was not possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionError {
    /// The task.
    pub task_id: TaskId,
    /// Its state; `null` if it does not exist or cannot be read.
    pub state: Option<TaskState>,
    /// Why it was not possible.
    #[schema(example = "only a task that is killed or failed can be resumed")]
    pub reason: String,
}
