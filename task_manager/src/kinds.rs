//! The differences between kinds of tasks: one folder per kind, and one trait.
//!
//! # Invariants
//! - Nothing outside of this module matches on the kind of a task to decide what happens to it.
//! - A function of a kind runs in its caller's transaction, with the task locked.
//!
//! # Not here
//! When these functions are called (`lifecycle`), and the work itself (`data_processor`).

pub mod bulk_action;
pub mod csv_aggregation;
pub mod csv_preview;
pub mod data_upload;
pub mod file_statistics;
pub mod message_validation;
pub mod report_email;
pub mod store;
pub mod user_event;

use chrono::NaiveDateTime;
use common::task::{Progress, TaskId, TaskKind};
use serde_json::Value;

use crate::db::{DbConnection, DbResult};
use crate::tasks::Task;

/// A kind of task, as the task manager sees it. The defaults are those of a kind that leaves
/// nothing in the database but its task.
pub trait Kind: Sync {
    /// Records what a completed attempt reports; returns the task's result.
    ///
    /// # Errors
    /// The report is not one of this kind.
    fn complete(
        &self,
        _conn: &mut DbConnection,
        _task: &Task,
        reported: &Value,
        _records: &mut Records,
        _now: NaiveDateTime,
    ) -> DbResult<Value> {
        Ok(reported.clone())
    }

    /// Removes what must be gone as soon as a task is deleted.
    fn delete(&self, _conn: &mut DbConnection, _id: TaskId) -> DbResult<()> {
        Ok(())
    }

    /// Removes a bounded number of the other rows of a deleted task; true when none is left.
    fn purge_step(&self, _conn: &mut DbConnection, _id: TaskId) -> DbResult<bool> {
        Ok(true)
    }

    /// Undoes a bounded part of what a `stopping` task wrote; true when nothing is left.
    fn roll_back_step(
        &self,
        _conn: &mut DbConnection,
        _task: &Task,
        _now: NaiveDateTime,
    ) -> DbResult<bool> {
        Ok(true)
    }

    /// The progress of a rollback that has undone nothing yet, if rolling back takes steps.
    fn rollback_progress(&self, _task: &Task) -> DbResult<Option<Progress>> {
        Ok(None)
    }

    /// Where the next attempt resumes after one reported this checkpoint.
    fn checkpoint(&self, task: &Task, reported: Option<&Value>) -> Option<Value> {
        reported.or(task.checkpoint.as_ref()).cloned()
    }

    /// The partial result of an unfinished task, shown as its result.
    fn result_so_far(&self, _task: &Task) -> Option<Value> {
        None
    }

    /// The path of the rejected rows, if the task has any outside of its output.
    fn rejected_link(&self, _task: &Task) -> Option<String> {
        None
    }

    /// The path of the report that tasks of this kind add to.
    fn report_link(&self) -> Option<&'static str> {
        None
    }
}

/// The implementation of a kind.
pub fn of(kind: TaskKind) -> &'static dyn Kind {
    match kind {
        TaskKind::CsvAggregation => &csv_aggregation::CsvAggregation,
        TaskKind::CsvPreview => &csv_preview::CsvPreview,
        TaskKind::FileStatistics => &file_statistics::FileStatistics,
        TaskKind::DataUpload => &data_upload::DataUpload,
        TaskKind::MessageValidation => &message_validation::MessageValidation,
        TaskKind::UserEvent => &user_event::UserEvent,
        TaskKind::BulkAction => &bulk_action::BulkAction,
        TaskKind::ReportEmail => &report_email::ReportEmail,
    }
}

/// Rows that completions leave, collected so that one statement inserts those of many.
#[derive(Debug, Default)]
pub struct Records {
    messages: Vec<message_validation::NewMessage>,
}

impl Records {
    /// Inserts all of them.
    pub fn write(self, conn: &mut DbConnection) -> DbResult<()> {
        message_validation::store::insert(conn, &self.messages)
    }
}
