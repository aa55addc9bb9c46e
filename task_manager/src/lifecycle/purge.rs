//! Purges deleted tasks: their files, their rows, and finally the tasks.

pub mod store;

use common::storage::{ObjectKey, Storage, StorageError};
use common::task::{TaskId, TaskKind};

use crate::db::Database;
use crate::kinds;
use crate::passes::{Failures, PassError};

/// How many tasks one query lists.
const BATCH: i64 = 100;

/// Removes deleted tasks and all their data.
pub async fn pass(db: &Database, storage: &Storage) -> Result<(), PassError> {
    let mut failures = Failures::default();
    let mut after = None;
    loop {
        let deleted = db.read(move |conn| store::deleted(conn, after, BATCH)).await?;
        let Some((last, _)) = deleted.last() else { return failures.into_result() };
        after = Some(*last);
        for (id, kind) in deleted {
            if let Err(error) = purge(db, storage, id, kind).await {
                failures.note(id, error)?;
            }
        }
    }
}

async fn purge(
    db: &Database,
    storage: &Storage,
    id: TaskId,
    kind: TaskKind,
) -> Result<(), PassError> {
    remove_files(storage, id).await?;
    loop {
        let step = db.write(move |conn| {
            let is_last = kinds::of(kind).purge_step(conn, id)?;
            if is_last {
                store::remove_deleted(conn, id)?;
            }
            Ok(is_last)
        });
        if step.await? {
            return Ok(());
        }
    }
}

/// Removes the input and the outputs of a task.
pub async fn remove_files(storage: &Storage, id: TaskId) -> Result<(), StorageError> {
    storage.delete(ObjectKey::Input(id)).await?;
    storage.delete_outputs(id).await
}
