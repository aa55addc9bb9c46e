//! Sweeps files that no task needs.
//!
//! # Invariants
//! - Only the task manager deletes files; workers never do.
//! - A file of an accepted result, a running attempt or an existing task's input is never deleted.

pub mod store;

use std::time::Duration;

use common::storage::{ObjectKey, Storage, StorageError};
use common::task::TaskId;
use futures_util::StreamExt;
use tracing::info;

use crate::db::Database;
use crate::lifecycle::resumable::store as uploads;
use crate::locks::Lock;
use crate::passes::{Failures, PassError};

/// How many files are compared with the tasks together.
const FILES: usize = 500;
/// An unfinished file older than this belongs to a process that was killed.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

/// Removes the output of an attempt, unless it was accepted or the attempt is running.
pub async fn remove_unwanted(
    db: &Database,
    storage: &Storage,
    id: TaskId,
    attempt: u32,
) -> Result<(), PassError> {
    if !db.read(move |conn| store::needs_output(conn, id, attempt)).await? {
        storage.delete_attempt(id, attempt).await?;
    }
    Ok(())
}

/// Removes files without a task: inputs without one, and outputs of attempts that were not accepted
/// and no longer run. One of the task managers that share `lock` does so in each `interval`. Files
/// younger than that are skipped: they may belong to a task that is about to be accepted, or to an
/// attempt whose report is in flight.
pub async fn pass(
    db: &Database,
    storage: &Storage,
    lock: &Lock,
    interval: Duration,
) -> Result<(), PassError> {
    if !lock.take(interval).await? {
        return Ok(());
    }
    let mut failures = Failures::default();
    let mut removed = 0;
    let files = storage.list_inputs(interval).chain(storage.list_outputs(interval));
    let mut chunks = files.chunks(FILES);
    while let Some(found) = chunks.next().await {
        let keys = listed(found, "a folder", &mut failures)?;
        for key in db.read(move |conn| store::unknown_files(conn, &keys)).await? {
            removed += count(storage.delete(key).await, key, &mut failures)?;
        }
        if !lock.take(interval).await? {
            // It took longer than its lock, and another sweep has started.
            break;
        }
    }
    removed += sweep_staged(db, storage, interval, &mut failures).await?;
    removed += sweep_unfinished(db, storage, UNFINISHED, &mut failures).await?;
    match storage.remove_unfinished(UNFINISHED).await {
        Ok(unfinished) => removed += unfinished,
        Err(error) => failures.note("an unfinished file", error)?,
    }
    if removed > 0 {
        info!(removed, "swept files without a task");
    }
    failures.into_result()
}

/// The entries of a list that could be read; the failures of `what` are noted.
fn listed<T>(
    entries: Vec<Result<T, StorageError>>,
    what: &str,
    failures: &mut Failures,
) -> Result<Vec<T>, PassError> {
    let mut read = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry {
            Ok(entry) => read.push(entry),
            Err(error) => failures.note(what, error)?,
        }
    }
    Ok(read)
}

/// How many files were removed, one or none; a failure is noted.
fn count(
    removed: Result<(), StorageError>,
    key: ObjectKey,
    failures: &mut Failures,
) -> Result<u64, PassError> {
    match removed {
        Ok(()) => Ok(1),
        Err(error) => failures.note(key, error).map(|()| 0),
    }
}

/// Removes staged files without an upload.
async fn sweep_staged(
    db: &Database,
    storage: &Storage,
    age: Duration,
    failures: &mut Failures,
) -> Result<u64, PassError> {
    let mut removed = 0;
    let mut chunks = storage.list_staged(age).chunks(FILES);
    while let Some(found) = chunks.next().await {
        let keys = listed(found, "a folder", failures)?;
        let ids: Vec<TaskId> = keys.iter().map(|key| key.task_id()).collect();
        let known = db.read(move |conn| uploads::known(conn, &ids)).await?;
        for key in keys.into_iter().filter(|key| !known.contains(&key.task_id())) {
            removed += count(storage.discard_staged(key, None).await, key, failures)?;
        }
    }
    Ok(removed)
}

/// Removes what is left of files in a bucket whose writers were killed, unless a task needs them.
async fn sweep_unfinished(
    db: &Database,
    storage: &Storage,
    age: Duration,
    failures: &mut Failures,
) -> Result<u64, PassError> {
    let mut removed = 0;
    let mut chunks = storage.list_unfinished(age).chunks(FILES);
    while let Some(found) = chunks.next().await {
        let files = listed(found, "the unfinished files", failures)?;
        let keys: Vec<ObjectKey> = files.iter().map(|file| file.key).collect();
        let unknown = db.read(move |conn| store::unknown_files(conn, &keys)).await?;
        for file in files.iter().filter(|file| unknown.contains(&file.key)) {
            removed += count(storage.discard(file).await, file.key, failures)?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use common::task::spec::TaskSpec;
    use common::tls::Trust;

    use super::*;
    use crate::accounts::LOCAL_USER;
    use crate::backend::{Backend, backend_tests, bucket};
    use crate::db;
    use crate::db::own::OwnDatabase;
    use crate::tasks::store as tasks;

    backend_tests![
        only_one_task_manager_sweeps,
        unfinished_files_in_a_bucket_are_swept_unless_they_are_needed,
    ];

    async fn unfinished_files_in_a_bucket_are_swept_unless_they_are_needed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let storage = Storage::connect(&bucket(), &Trust::default()).unwrap();
        let needed = TaskId::new();
        let insert = own.db.write(move |conn| {
            let now = db::now(conn)?;
            let spec = TaskSpec::FileStatistics;
            tasks::insert_initializing(conn, needed, LOCAL_USER, &spec, "a", now, now)
        });
        insert.await.unwrap();
        for task_id in [needed, TaskId::new()] {
            let mut writer = storage.create(ObjectKey::Input(task_id));
            for _ in 0..3 {
                writer.write(vec![1; 8 << 20].into()).await.unwrap();
            }
            // As if the process was killed.
            std::mem::forget(writer);
        }
        let mut failures = Failures::default();
        let removed = sweep_unfinished(&own.db, &storage, Duration::ZERO, &mut failures).await;
        assert_eq!(removed.unwrap(), 1);
        let left: Vec<_> = storage.list_unfinished(Duration::ZERO).collect().await;
        let left: Vec<_> = left.into_iter().map(|file| file.unwrap().key).collect();
        assert_eq!(left, [ObjectKey::Input(needed)]);
    }

    async fn only_one_task_manager_sweeps(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let storage = Storage::local(own.folder.path()).unwrap();
        let (first, second) =
            (Lock::new(own.db.clone(), "sweep"), Lock::new(own.db.clone(), "sweep"));
        let hour = Duration::from_secs(3600);
        let stray = || {
            let file = own.folder.path().join(format!("raw_data/{}", TaskId::new()));
            std::fs::write(&file, "stray").unwrap();
            let written = std::fs::File::open(&file).unwrap();
            written.set_modified(std::time::SystemTime::now() - 2 * hour).unwrap();
            file
        };
        let file = stray();
        let young = own.folder.path().join(format!("raw_data/{}", TaskId::new()));
        std::fs::write(&young, "of a task that is about to be accepted").unwrap();
        pass(&own.db, &storage, &first, hour).await.unwrap();
        assert!(!file.exists() && young.exists());
        let file = stray();
        pass(&own.db, &storage, &second, hour).await.unwrap();
        assert!(file.exists(), "the other one has done so within the hour");
        pass(&own.db, &storage, &first, hour).await.unwrap();
        assert!(!file.exists());
    }
}
