//! Removing the rows of a task: of one that was stopped, or of one that was deleted.
//!
//! # Invariants
//! - A step is a short transaction that removes a bounded number of rows, by their numbers.
//! - The steps of a stopped task are made under its lock, from its checkpoint downwards, and each
//!   lowers the checkpoint: any task manager makes the next one, also after a restart, and several
//!   share the work.

use common::task::{TaskId, TaskState};

use super::{checkpoint, removed_rows, store};
use crate::db::{Database, DbConnection, DbResult};
use crate::tasks::store as tasks;

/// How many rows a step removes at most. Others wait for a step on SQLite.
const STEP: u64 = 2_000;

/// Removes some rows of a task that is `stopping`; true where there are none left. In the
/// caller's transaction.
pub fn step(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    let Some((task, now)) = tasks::find_and_lock_one(conn, id)? else {
        return Ok(true);
    };
    if task.state != TaskState::Stopping {
        return Ok(true);
    }
    let Some(mut left) = checkpoint(&task)?.filter(|checkpoint| checkpoint.row > 0) else {
        return Ok(true);
    };
    let total = match &task.progress {
        Some(progress) if progress.unit == "rows" => progress.total.unwrap_or(left.row),
        _ => left.row,
    };
    let below = left.row.saturating_sub(STEP);
    store::remove(conn, id, below, left.row)?;
    left.row = below;
    let progress = removed_rows(total.saturating_sub(below), total);
    store::set_rolled_back(conn, id, &left, &progress, now)?;
    Ok(below == 0)
}

/// Removes all rows of a task that nobody loads or sees any more.
pub async fn remove_all(db: &Database, id: TaskId) -> DbResult<()> {
    let mut last = db.read(move |conn| store::last_row(conn, id)).await?;
    while last > 0 {
        let below = last.saturating_sub(STEP);
        db.write(move |conn| store::remove(conn, id, below, last)).await?;
        last = below;
    }
    Ok(())
}
