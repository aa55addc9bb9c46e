//! The statistics of files: one row per completed task, and a report on them.
//!
//! # Invariants
//! - A task has at most one row, written in the transaction that accepts its completion.
//! - The row is the task's `result`.
//! - Rows stay until their task is deleted; an expired task keeps its row.
//!
//! # Not here
//! Counting (`data_processor`), receiving files (`lifecycle::upload`).

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
        // The name given by the client; the worker got it from here.
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
