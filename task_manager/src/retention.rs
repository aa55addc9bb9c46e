//! What is no longer wanted goes away: rolled-back outputs, deleted tasks, files and tasks past
//! their time, and files that no task knows.
//!
//! # Invariants
//! - Only the task manager deletes files; workers never do.
//! - A file of an accepted result, of a running attempt or of a living task's input is never
//!   deleted.

pub mod store;

use std::time::Duration;

use common::storage::{ObjectKey, Storage, StorageError};
use common::task::{TaskId, TaskState};
use futures_util::{StreamExt, TryStreamExt};
use tracing::info;

use crate::data_uploads::rollback;
use crate::db::{self, Database, DbError, DbResult};
use crate::tasks::store as tasks;

/// How many tasks one transaction takes.
const BATCH: i64 = 100;
/// How many files are compared with the tasks at once.
const FILES: usize = 500;
/// An unfinished file older than this belongs to a process that was killed.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Inputs, outputs and attempts, after the task's end.
    pub files: Duration,
    /// The task itself, after its end.
    pub tasks: Duration,
}

/// Why something could not be removed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Completes the rollback of every task that is `stopping`, a bounded number at a time; what a
/// restart interrupts goes on after it. A long one is made in steps, so that it holds up no other.
pub async fn roll_back(db: &Database, storage: &Storage) -> Result<(), RetentionError> {
    loop {
        let stopping = db.read(|conn| tasks::in_state(conn, TaskState::Stopping, BATCH)).await?;
        if stopping.is_empty() {
            return Ok(());
        }
        for task in stopping {
            let id = task.id;
            if !db.write(move |conn| rollback::step(conn, id)).await? {
                continue;
            }
            storage.delete_outputs(id).await?;
            db.write(move |conn| {
                let now = db::now(conn)?;
                if tasks::end(conn, &task, TaskState::Stopped, now)? {
                    tasks::clear_progress(conn, task.id)?;
                }
                Ok(())
            })
            .await?;
        }
    }
}

/// Removes everything that deleted tasks made, and the tasks.
pub async fn remove_deleted(db: &Database, storage: &Storage) -> Result<(), RetentionError> {
    loop {
        let deleted = db.read(|conn| store::deleted(conn, BATCH)).await?;
        if deleted.is_empty() {
            return Ok(());
        }
        for id in deleted {
            remove_files(storage, id).await?;
            rollback::remove_all(db, id).await?;
            db.write(move |conn| store::remove(conn, id)).await?;
        }
    }
}

/// Removes files and tasks that are past their time.
pub async fn expire(
    db: &Database,
    storage: &Storage,
    retention: Retention,
) -> Result<(), RetentionError> {
    loop {
        let past = db
            .read(move |conn| {
                let before = db::now(conn)? - retention.files;
                store::with_files_ended_before(conn, before, BATCH)
            })
            .await?;
        if past.is_empty() {
            break;
        }
        for id in past {
            // The mark first: a resume that wins the race keeps the files.
            let marked = db.write(move |conn| {
                let now = db::now(conn)?;
                store::mark_files_removed(conn, id, now)
            });
            if marked.await? {
                remove_files(storage, id).await?;
            }
        }
    }
    loop {
        let removed = db
            .write(move |conn| {
                let before = db::now(conn)? - retention.tasks;
                store::remove_tasks_ended_before(conn, before, BATCH)
            })
            .await?;
        if removed == 0 {
            return Ok(());
        }
    }
}

async fn remove_files(storage: &Storage, id: TaskId) -> Result<(), StorageError> {
    storage.delete(ObjectKey::Input(id)).await?;
    storage.delete_outputs(id).await
}

/// Removes the files that no task knows: inputs without a task, and outputs of attempts that were
/// not accepted and no longer run.
pub async fn sweep(db: &Database, storage: &Storage) -> Result<(), RetentionError> {
    let mut removed = 0;
    let mut files = storage.list_inputs().chain(storage.list_outputs()).try_chunks(FILES);
    while let Some(keys) = files.next().await {
        let keys = keys.map_err(|error| error.1)?;
        let unknown = db.read(move |conn| unknown_files(conn, &keys)).await?;
        for key in unknown {
            storage.delete(key).await?;
            removed += 1;
        }
    }
    removed += storage.remove_unfinished(UNFINISHED).await?;
    if removed > 0 {
        info!(removed, "swept files that belong to no task");
    }
    Ok(())
}

fn unknown_files(conn: &mut db::DbConnection, keys: &[ObjectKey]) -> DbResult<Vec<ObjectKey>> {
    let mut unknown = Vec::new();
    for &key in keys {
        let is_wanted = match key {
            ObjectKey::Input(id) => store::wants_input(conn, id)?,
            ObjectKey::Output { task_id, attempt, .. } => {
                store::wants_output(conn, task_id, attempt)?
            }
        };
        if !is_wanted {
            unknown.push(key);
        }
    }
    Ok(unknown)
}
