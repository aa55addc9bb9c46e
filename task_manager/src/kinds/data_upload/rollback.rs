//! Removes the rows of a stopped or deleted task in small steps.
//!
//! # Invariants
//! - A step is a short transaction that removes a bounded number of rows, by their numbers.
//! - The steps of a stopped task run under its lock, from its checkpoint downwards, and each lowers
//!   the checkpoint. So any task manager can run the next step, also after a restart, and several
//!   share the work.

use chrono::NaiveDateTime;
use common::task::TaskId;

use super::{checkpoint, removed_rows, store};
use crate::db::{DbConnection, DbResult};
use crate::tasks::Task;

/// The most rows that a step removes. On SQLite, other writers wait for a step.
const STEP: u64 = 2_000;

/// Removes some rows of a task that is `stopping`; true if none is left.
pub(super) fn step(conn: &mut DbConnection, task: &Task, now: NaiveDateTime) -> DbResult<bool> {
    let Some(mut left) = checkpoint(task)?.filter(|checkpoint| checkpoint.row > 0) else {
        return Ok(true);
    };
    let total = match &task.progress {
        Some(progress) if progress.unit == "rows" => progress.total.unwrap_or(left.row),
        _ => left.row,
    };
    let below = left.row.saturating_sub(STEP);
    store::remove(conn, task.id, below, left.row)?;
    left.row = below;
    let progress = removed_rows(total.saturating_sub(below), total);
    store::set_rolled_back(conn, task.id, &left, &progress, now)?;
    Ok(below == 0)
}

/// Removes some rows of a deleted task; true if none is left.
pub(super) fn purge_step(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    let last = store::last_row(conn, id)?;
    let below = last.saturating_sub(STEP);
    if last > 0 {
        store::remove(conn, id, below, last)?;
    }
    Ok(below == 0)
}
