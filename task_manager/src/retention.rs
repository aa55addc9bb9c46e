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
use futures_util::StreamExt;
use tracing::{info, warn};

use crate::data_uploads::rollback;
use crate::db::{self, Database};
use crate::locks::Lock;
use crate::passes::{Failures, PassError};
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

/// Completes the rollback of every task that is `stopping`, a bounded number at a time; what a
/// restart interrupts goes on after it. A long one is made in steps, so that it holds up no other.
pub async fn roll_back(db: &Database, storage: &Storage) -> Result<(), PassError> {
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
                match roll_back_some(db, storage, id).await {
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

/// A step of the rollback of one task; true where it was the last one.
async fn roll_back_some(db: &Database, storage: &Storage, id: TaskId) -> Result<bool, PassError> {
    if !db.write(move |conn| rollback::step(conn, id)).await? {
        return Ok(false);
    }
    storage.delete_outputs(id).await?;
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

/// Removes everything that deleted tasks made, and the tasks.
pub async fn remove_deleted(db: &Database, storage: &Storage) -> Result<(), PassError> {
    let mut failures = Failures::default();
    let mut after = None;
    loop {
        let deleted = db.read(move |conn| store::deleted(conn, after, BATCH)).await?;
        let Some(last) = deleted.last() else { return failures.into_result() };
        after = Some(*last);
        for id in deleted {
            if let Err(error) = remove_task(db, storage, id).await {
                failures.note(id, error)?;
            }
        }
    }
}

async fn remove_task(db: &Database, storage: &Storage, id: TaskId) -> Result<(), PassError> {
    remove_files(storage, id).await?;
    rollback::remove_all(db, id).await?;
    Ok(db.write(move |conn| store::remove_deleted(conn, id)).await?)
}

/// Removes files and tasks that are past their time.
pub async fn expire(
    db: &Database,
    storage: &Storage,
    retention: Retention,
) -> Result<(), PassError> {
    let mut failures = Failures::default();
    loop {
        let past = db
            .read(move |conn| {
                let before = db::now(conn)? - retention.files;
                store::with_files_ended_before(conn, before, BATCH)
            })
            .await?;
        let mut marked = 0;
        for id in past {
            match expire_files(db, storage, retention, id).await {
                Ok(is_marked) => marked += usize::from(is_marked),
                Err(error) => failures.note(id, error)?,
            }
        }
        if marked == 0 {
            break;
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
            return failures.into_result();
        }
    }
}

/// Removes the files of a task that ended long ago; false where it has gone on meanwhile.
async fn expire_files(
    db: &Database,
    storage: &Storage,
    retention: Retention,
    id: TaskId,
) -> Result<bool, PassError> {
    // The mark first: a resume that wins the race keeps the files. Files that cannot be removed are left to
    // the sweep.
    let marked = db.write(move |conn| {
        let now = db::now(conn)?;
        store::mark_files_removed(conn, id, now - retention.files, now)
    });
    let is_marked = marked.await?;
    if is_marked && let Err(error) = remove_files(storage, id).await {
        warn!(task_id = %id, %error, "the files of an expired task are left to the sweep");
    }
    Ok(is_marked)
}

/// Removes what an attempt wrote, unless it was accepted or the attempt runs.
pub async fn remove_unwanted(
    db: &Database,
    storage: &Storage,
    id: TaskId,
    attempt: u32,
) -> Result<(), PassError> {
    if !db.read(move |conn| store::wants_output(conn, id, attempt)).await? {
        storage.delete_attempt(id, attempt).await?;
    }
    Ok(())
}

async fn remove_files(storage: &Storage, id: TaskId) -> Result<(), StorageError> {
    storage.delete(ObjectKey::Input(id)).await?;
    storage.delete_outputs(id).await
}

/// Removes the files that no task knows: inputs without a task, and outputs of attempts that were
/// not accepted and no longer run. Of several task managers that have the same `lock`, one does so in each
/// `interval`. A file that is younger may be of a task that is about to be accepted, or of an attempt whose
/// report is on its way.
pub async fn sweep(
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
        let mut keys = Vec::with_capacity(found.len());
        for key in found {
            match key {
                Ok(key) => keys.push(key),
                Err(error) => failures.note("a folder", error)?,
            }
        }
        for key in db.read(move |conn| store::unknown_files(conn, &keys)).await? {
            match storage.delete(key).await {
                Ok(()) => removed += 1,
                Err(error) => failures.note(key, error)?,
            }
        }
        if !lock.take(interval).await? {
            // It took longer than its lock, and another one has begun.
            break;
        }
    }
    match storage.remove_unfinished(UNFINISHED).await {
        Ok(unfinished) => removed += unfinished,
        Err(error) => failures.note("an unfinished file", error)?,
    }
    if removed > 0 {
        info!(removed, "swept files that belong to no task");
    }
    failures.into_result()
}

#[cfg(test)]
mod tests {
    use common::report::{LEASE, WorkerId};
    use common::task::UserId;
    use common::task::spec::TaskSpec;
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;
    use crate::db::{DbConnection, DbResult};

    backend_tests![
        a_task_that_ended_just_now_keeps_its_files,
        a_task_that_goes_on_is_not_removed,
        of_many_task_managers_one_sweeps,
    ];

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A task that is killed now.
    fn killed(conn: &mut DbConnection) -> DbResult<TaskId> {
        let (id, owner, now) = (TaskId::new(), UserId(Uuid::nil()), db::now(conn)?);
        tasks::insert_initializing(conn, id, owner, &TaskSpec::FileStatistics, "a", now, now)?;
        let task = tasks::find(conn, id)?.unwrap();
        tasks::enqueue(conn, &task, &tasks::Enqueue::default(), now, now)?;
        let mut task = tasks::find(conn, id)?.unwrap();
        tasks::claim(conn, &mut [&mut task], WorkerId(Uuid::nil()), now, now + LEASE)?;
        tasks::end(conn, &task, TaskState::Killed, now)?;
        Ok(id)
    }

    /// As when it is listed as old, resumed and ends again before its turn has come.
    async fn a_task_that_ended_just_now_keeps_its_files(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let marked = own.db.write(|conn| {
            let id = killed(conn)?;
            let now = db::now(conn)?;
            let early = store::mark_files_removed(conn, id, now - WEEK, now)?;
            let late = store::mark_files_removed(conn, id, now + WEEK, now)?;
            let twice = store::mark_files_removed(conn, id, now + WEEK, now)?;
            Ok((early, late, twice))
        });
        assert_eq!(marked.await.unwrap(), (false, true, false));
    }

    async fn a_task_that_goes_on_is_not_removed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let left = own.db.write(|conn| {
            let id = killed(conn)?;
            // Not deleted, so not to be removed, whoever lists it.
            store::remove_deleted(conn, id)?;
            let killed = tasks::find(conn, id)?.is_some();
            let now = db::now(conn)?;
            store::mark_files_removed(conn, id, now + WEEK, now)?;
            let young = store::remove_tasks_ended_before(conn, now - WEEK, BATCH)?;
            let old = store::remove_tasks_ended_before(conn, now + WEEK, BATCH)?;
            Ok((killed, young, old))
        });
        assert_eq!(left.await.unwrap(), (true, 0, 1));
    }

    async fn of_many_task_managers_one_sweeps(backend: Backend) {
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
        sweep(&own.db, &storage, &first, hour).await.unwrap();
        assert!(!file.exists() && young.exists());
        let file = stray();
        sweep(&own.db, &storage, &second, hour).await.unwrap();
        assert!(file.exists(), "the other one has done so within the hour");
        sweep(&own.db, &storage, &first, hour).await.unwrap();
        assert!(!file.exists());
    }
}
