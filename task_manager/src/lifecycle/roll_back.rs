//! Rolls back tasks that are `stopping`.
//!
//! # Invariants
//! - A rollback that has started is completed by any task manager, also after a restart.
//! - A long one proceeds in steps, so that it delays no other.

use common::task::{TaskId, TaskState};

use crate::db::{DbConnection, DbResult};
use crate::kinds;
use crate::lifecycle::resumable::ResumableUploads;
use crate::passes::{Failures, PassError};
use crate::tasks::store as tasks;

/// How many tasks one query lists.
const BATCH: i64 = 100;

/// Completes the rollback of every task that is `stopping`, a bounded number at a time.
pub async fn pass(uploads: &ResumableUploads) -> Result<(), PassError> {
    let db = &uploads.drafts.db;
    loop {
        let mut failures = Failures::default();
        let mut are_done = true;
        let mut after = None;
        loop {
            let stopping = db
                .read(move |conn| tasks::in_state(conn, TaskState::Stopping, after, BATCH))
                .await?;
            let Some(last) = stopping.last() else { break };
            after = Some(*last);
            for id in stopping {
                match roll_back_some(uploads, id).await {
                    Ok(is_done) => are_done &= is_done,
                    Err(error) => failures.note(id, error)?,
                }
            }
        }
        if are_done {
            return failures.into_result();
        }
    }
}

/// A step of the rollback of one task; true if it was the last one.
async fn roll_back_some(uploads: &ResumableUploads, id: TaskId) -> Result<bool, PassError> {
    let (db, storage) = (&uploads.drafts.db, &uploads.drafts.storage);
    if !db.write(move |conn| step(conn, id)).await? {
        return Ok(false);
    }
    storage.delete_outputs(id).await?;
    uploads.remove_useless(id).await?;
    db.write(move |conn| {
        if let Some((task, now)) = tasks::find_and_lock_one(conn, id)?
            && tasks::end(conn, &task, TaskState::Stopped, now)?
        {
            tasks::clear_progress(conn, id)?;
        }
        Ok(())
    })
    .await?;
    Ok(true)
}

fn step(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    match tasks::find_and_lock_one(conn, id)? {
        Some((task, now)) if task.state == TaskState::Stopping => {
            kinds::of(task.kind()).roll_back_step(conn, &task, now)
        }
        _ => Ok(true),
    }
}
