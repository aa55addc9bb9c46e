//! The statistics of files: rows that completed tasks leave, and the report over them.
//!
//! # Invariants
//! - A task has at most one row, written in the transaction that accepts its completion.
//! - The row is the task's `result`.
//! - Rows stay until their task is deleted; the expiry of a task leaves its row.
//!
//! # Not here
//! Counting (`data_processor`), and receiving files (`lifecycle::upload`).

pub mod report;
pub mod store;

use chrono::NaiveDateTime;
use common::file_statistics::{self, FileStatisticsRow};
use common::task::TaskId;
use serde_json::Value;

use super::{Kind, Records};
use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// The kind `file_statistics`.
pub struct FileStatistics;

impl Kind for FileStatistics {
    fn complete(
        &self,
        conn: &mut DbConnection,
        task: &Task,
        reported: &Value,
        _records: &mut Records,
        now: NaiveDateTime,
    ) -> DbResult<Value> {
        let mut statistics: file_statistics::FileStatistics =
            serde_json::from_value(reported.clone()).map_err(DbError::corrupt)?;
        // As the client named it; the worker has the name from here.
        if let Some(input) = &task.input {
            statistics.file_name.clone_from(&input.file_name);
        }
        let row = FileStatisticsRow { task_id: task.id, statistics, created_at: now.and_utc() };
        store::insert(conn, task.owner, &row)?;
        serde_json::to_value(row).map_err(DbError::corrupt)
    }

    fn delete(&self, conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
        store::remove(conn, id)
    }

    fn report_link(&self) -> Option<&'static str> {
        Some(file_statistics::REPORT)
    }
}
