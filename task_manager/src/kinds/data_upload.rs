//! Loading the rows of files into the database.
//!
//! # Invariants
//! - Rows and the checkpoint after them commit together, and only while the attempt holds the
//!   fence: every row of a file is loaded exactly once, even if it is sent repeatedly.
//! - No row of a task has a higher number than its checkpoint; hence a rollback that moves the
//!   checkpoint back to 0 leaves no rows.
//! - The checkpoint is maintained here only: checkpoints in reports are ignored.
//!
//! # Not here
//! Reading the file (`data_processor`), and receiving it (`lifecycle::upload`).

pub mod batch;
pub mod loads;
pub mod rejected;
mod rollback;
pub mod store;
mod task_locks;

use chrono::NaiveDateTime;
use common::report::LoadCheckpoint;
use common::task::{Progress, TaskId, TaskKind, TaskState};
use serde_json::{Value, json};

use super::{Kind, Records};
use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// The checkpoint of a load; none before the first batch, and for other kinds of task.
pub fn checkpoint(task: &Task) -> DbResult<Option<LoadCheckpoint>> {
    match &task.checkpoint {
        Some(value) if task.kind() == TaskKind::DataUpload => {
            serde_json::from_value(value.clone()).map(Some).map_err(DbError::corrupt)
        }
        _ => Ok(None),
    }
}

/// The kind `data_upload`.
pub struct DataUpload;

impl Kind for DataUpload {
    /// The result has the counts of committed rows; of the worker's report only the row at which it
    /// resumed and the dialect of the file.
    fn complete(
        &self,
        _conn: &mut DbConnection,
        task: &Task,
        reported: &Value,
        _records: &mut Records,
        _now: NaiveDateTime,
    ) -> DbResult<Value> {
        let resumed_from_row = reported.get("resumed_from_row").cloned().unwrap_or_default();
        let mut result = counts(checkpoint(task)?.as_ref(), resumed_from_row);
        // Workers of earlier versions report none.
        if let Some(dialect) = reported.get("dialect") {
            result["dialect"] = dialect.clone();
        }
        Ok(result)
    }

    fn purge_step(&self, conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
        rollback::purge_step(conn, id)
    }

    fn roll_back_step(
        &self,
        conn: &mut DbConnection,
        task: &Task,
        now: NaiveDateTime,
    ) -> DbResult<bool> {
        rollback::step(conn, task, now)
    }

    fn rollback_progress(&self, task: &Task) -> DbResult<Option<Progress>> {
        Ok(checkpoint(task)?.map(|checkpoint| removed_rows(0, checkpoint.row)))
    }

    /// The stored one: a load resumes where its rows end.
    fn checkpoint(&self, task: &Task, _reported: Option<&Value>) -> Option<Value> {
        task.checkpoint.clone()
    }

    fn result_so_far(&self, task: &Task) -> Option<Value> {
        if matches!(task.state, TaskState::Stopping | TaskState::Stopped) {
            return None;
        }
        let checkpoint = checkpoint(task).ok()??;
        Some(counts(Some(&checkpoint), Value::Null))
    }

    fn rejected_link(&self, task: &Task) -> Option<String> {
        let result = task.result.clone().or_else(|| self.result_so_far(task))?;
        let rejected = result.get("rows_rejected").and_then(Value::as_u64)?;
        (rejected > 0).then(|| format!("/v1/data_uploads/{}/rejected", task.id))
    }
}

fn counts(checkpoint: Option<&LoadCheckpoint>, resumed_from_row: Value) -> Value {
    json!({
        "rows_loaded": checkpoint.map_or(0, |checkpoint| checkpoint.loaded),
        "rows_rejected": checkpoint.map_or(0, |checkpoint| checkpoint.rejected),
        "resumed_from_row": resumed_from_row,
    })
}

fn removed_rows(done: u64, total: u64) -> Progress {
    let unit = "rows".to_owned();
    Progress { done, total: Some(total), unit, per_second: None, rejected_rows: None }
}
