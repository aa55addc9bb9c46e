//! The statistics of files: rows that completed tasks leave, and the report over them.
//!
//! # Invariants
//! - A task has one row at the most, written in the transaction that accepts its completion.
//! - The row is the task's `result`.
//! - Rows stay until their task is deleted; the expiry of a task leaves its row.
//!
//! # Not here
//! Counting (`data_processor`), and receiving files (`uploads`).

pub mod report;
pub mod store;

use chrono::NaiveDateTime;
use common::file_statistics::{FileStatistics, FileStatisticsRow};
use serde_json::Value;

use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// Keeps what a worker found out, in the transaction that accepts the completion; answers the
/// task's result.
pub fn record(
    conn: &mut DbConnection,
    task: &Task,
    result: &Value,
    now: NaiveDateTime,
) -> DbResult<Value> {
    let mut statistics: FileStatistics =
        serde_json::from_value(result.clone()).map_err(DbError::corrupt)?;
    // As the client named it; the worker only heard of it.
    if let Some(input) = &task.input {
        statistics.file_name.clone_from(&input.file_name);
    }
    let row = FileStatisticsRow { task_id: task.id, statistics, created_at: now.and_utc() };
    store::insert(conn, task.owner, &row)?;
    serde_json::to_value(row).map_err(DbError::corrupt)
}
