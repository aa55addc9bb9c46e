//! Turns a complete draft into a task; the only module that does so.
//!
//! # Invariants
//! - Task, outbox row and stored answer are written in one transaction, after the fsync of the
//!   file.
//! - The transaction locks the draft's task; if it is not `initializing`, nothing changes.
//! - An earlier task is resumed instead only if, under its lock, it is not deleted, has its files,
//!   and can be resumed.

use common::report::InputFile;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskId, TaskState};
use sha2::{Digest, Sha256};
use tracing::info;

use super::draft::{ReceivedFile, SealedDraft, lost_error};
use crate::db::{Database, DbConnection, DbError, DbResult, Id};
use crate::error::Error;
use crate::idempotency::{self, Answering, Lock};
use crate::lifecycle::wakeups::Wakeups;
use crate::metrics::metrics;
use crate::tasks::outbox::{self, Dispatch};
use crate::tasks::store::{Enqueue, Locked};
use crate::tasks::{Task, store, transitions};
use crate::views::view;

/// Queues the draft's task, or resumes an earlier one with the same file; stores the answer under
/// `lock`.
///
/// # Errors
/// The draft has lost its task, or the database is not available. Then the draft is removed, unless
/// the outcome is unknown.
pub async fn commit(
    db: &Database,
    wakeups: &Wakeups,
    draft: SealedDraft,
    lock: Option<Lock>,
) -> Result<AcceptedTask, Error> {
    let store_answer = move |conn: &mut DbConnection, accepted: &Accepted<'_>| match &lock {
        Some(lock) => lock.complete(conn, accepted.fingerprint, accepted.answer),
        None => Ok(()),
    };
    let file = draft.file.clone();
    let accepted = match commit_file(db, wakeups, file, Earlier::Resumed, store_answer).await {
        Ok(accepted) => accepted,
        Err(error) => {
            draft.abort().await;
            return Err(error);
        }
    };
    if accepted.resumed {
        draft.delete_object().await;
    }
    Ok(accepted)
}

/// Queues the draft's task, whatever tasks with the same file exist.
///
/// # Errors
/// Those of [`commit`].
pub async fn commit_new(
    db: &Database,
    wakeups: &Wakeups,
    draft: SealedDraft,
    answering: Answering,
) -> Result<AcceptedTask, Error> {
    let store_answer = move |conn: &mut DbConnection, accepted: &Accepted<'_>| {
        answering.store(conn, accepted.answer)
    };
    let file = draft.file.clone();
    let accepted = commit_file(db, wakeups, file, Earlier::Ignored, store_answer).await;
    if accepted.is_err() {
        draft.abort().await;
    }
    accepted
}

/// What happens to an earlier task with the same file that can be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It is resumed instead of a new one.
    Resumed,
    /// Nothing: the new task is queued.
    Ignored,
}

/// An accepted file, in the transaction that accepts it.
pub struct Accepted<'a> {
    /// Identifies repeats of the upload.
    pub fingerprint: &'a str,
    pub answer: &'a AcceptedTask,
}

/// Queues the task of a complete file, or resumes an earlier one with the same file as `resumes`
/// says; `record` runs in the same transaction. The caller deletes the file if another task is resumed.
///
/// # Errors
/// The file's task is no longer `initializing`, or the database is not available.
pub async fn commit_file(
    db: &Database,
    wakeups: &Wakeups,
    file: ReceivedFile,
    resumes: Earlier,
    record: impl Fn(&mut DbConnection, &Accepted<'_>) -> DbResult<()> + Send + 'static,
) -> Result<AcceptedTask, Error> {
    let ReceivedFile { id, purpose, input } = file;
    let (owner, kind, size) = (purpose.owner, purpose.spec.kind(), input.size);
    let dedup_key = dedup_key(&purpose.spec, &input.sha256)?;
    let fingerprint = fingerprint(&input.file_name, &dedup_key);
    let accepted = db.write(move |conn| {
        let earlier = match resumes {
            Earlier::Resumed => store::find_resumable(conn, owner, &dedup_key)?,
            Earlier::Ignored => None,
        };
        let accepted = accept(conn, id, earlier, &input, &dedup_key)?;
        if let Ok(answer) = &accepted {
            record(conn, &Accepted { fingerprint: &fingerprint, answer })?;
        }
        Ok(accepted)
    });
    let accepted = accepted.await?.map_err(|state| lost_error(id, state))?;
    if !accepted.resumed {
        metrics().tasks_accepted(kind, 1);
    }
    wakeups.changed(db, (owner, accepted.task.task_id)).await;
    info!(size, resumed = accepted.resumed, "accepted as {}", accepted.task.task_id);
    Ok(accepted)
}

/// The key that uploads of the same file share: a hash of kind, parameters and content.
pub(super) fn dedup_key(spec: &TaskSpec, sha256: &str) -> Result<String, Error> {
    let spec = serde_json::to_string(spec).map_err(|_| Error::Internal)?;
    Ok(hex::encode(Sha256::digest(format!("{spec}\n{sha256}"))))
}

/// The fingerprint of an upload request, independent of the boundaries of its form.
pub(super) fn fingerprint(file_name: &str, dedup_key: &str) -> String {
    idempotency::fingerprint(&[file_name, dedup_key])
}

/// Queues the draft's task, or `earlier` instead if it is still resumable, in the caller's
/// transaction. An error is the state of the draft's task.
fn accept(
    conn: &mut DbConnection,
    id: TaskId,
    earlier: Option<TaskId>,
    input: &InputFile,
    dedup_key: &str,
) -> DbResult<Result<AcceptedTask, Option<TaskState>>> {
    let ids: Vec<Id> = earlier.into_iter().chain([id]).map(|id| Id(id.0)).collect();
    let Locked { mut tasks, now, .. } = store::find_and_lock(conn, &ids)?;
    let task = tasks.remove(&id).filter(|task| task.state == TaskState::Initializing);
    let Some(task) = task else { return Ok(Err(store::upload_state(conn, id)?)) };
    let earlier = earlier.and_then(|id| tasks.remove(&id)).filter(is_resumable);
    if let Some(earlier) = earlier
        && transitions::resume(conn, &earlier, now)?
    {
        store::remove_initializing(conn, id)?;
        return answer(conn, earlier.id, true, earlier.resumes_from_row()).map(Ok);
    }
    store::set_input(conn, id, input, dedup_key, now)?;
    if !store::enqueue(conn, &task, &Enqueue::default(), now, now)? {
        return Err(DbError::corrupt("a task that is locked was changed by others"));
    }
    outbox::append(conn, &[Dispatch::next_of(&task, now)])?;
    answer(conn, id, false, None).map(Ok)
}

/// Whether an upload of the same file resumes the task: it is `killed`, or `failed` with a
/// checkpoint, and has its files.
fn is_resumable(task: &Task) -> bool {
    let is_interrupted = match task.state {
        TaskState::Killed => true,
        TaskState::Failed => task.checkpoint.is_some(),
        _ => false,
    };
    is_interrupted && !task.files_removed
}

fn answer(
    conn: &mut DbConnection,
    id: TaskId,
    resumed: bool,
    resumed_from_row: Option<u64>,
) -> DbResult<AcceptedTask> {
    let task = store::find(conn, id)?
        .ok_or_else(|| DbError::corrupt("a task that is locked was removed by others"))?;
    Ok(AcceptedTask { task: view(conn, task)?, resumed, resumed_from_row })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::task::UserId;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::{self, own::OwnDatabase};
    use crate::lifecycle::retention::store as retention;

    backend_tests![
        the_same_file_resumes_an_earlier_task,
        a_task_deleted_between_find_and_lock_is_not_resumed,
        a_task_expired_between_find_and_lock_is_not_resumed,
        a_task_resumed_between_find_and_lock_is_not_resumed_twice,
        a_missing_or_stopped_draft_does_not_become_a_task,
    ];

    const IDENTITY: &str = "kind, parameters and content";

    fn owner() -> UserId {
        UserId(uuid::Uuid::from_u128(7))
    }

    fn input() -> InputFile {
        InputFile { file_name: "songs.csv".to_owned(), size: 3, sha256: "abc".to_owned() }
    }

    async fn draft(own: &OwnDatabase) -> TaskId {
        let spec = TaskSpec::from_parameters(common::task::TaskKind::CsvAggregation, &[]).unwrap();
        let id = TaskId::new();
        let insert = own.db.write(move |conn| {
            let now = db::now(conn)?;
            store::insert_initializing(conn, id, owner(), &spec, "songs.csv", now, now)
        });
        insert.await.unwrap();
        id
    }

    /// A killed task, and a draft of the same file.
    async fn killed_and_draft(own: &OwnDatabase) -> (TaskId, TaskId) {
        let killed = draft(own).await;
        accept_after(own, killed, None, |_, _| Ok(true)).await.unwrap();
        let kill = own.db.write(move |conn| {
            let (task, now) = store::find_and_lock_one(conn, killed)?.unwrap();
            store::end(conn, &task, TaskState::Killed, now)
        });
        assert!(kill.await.unwrap());
        (killed, draft(own).await)
    }

    /// Finds an earlier task, applies `change` to it, and commits the draft.
    async fn accept_after(
        own: &OwnDatabase,
        id: TaskId,
        earlier: Option<TaskId>,
        change: fn(&mut DbConnection, TaskId) -> DbResult<bool>,
    ) -> Result<AcceptedTask, Option<TaskState>> {
        let found =
            own.db.read(|conn| store::find_resumable(conn, owner(), IDENTITY)).await.unwrap();
        assert_eq!(found, earlier);
        if let Some(earlier) = earlier {
            assert!(own.db.write(move |conn| change(conn, earlier)).await.unwrap());
        }
        let accept = own.db.write(move |conn| accept(conn, id, found, &input(), IDENTITY));
        accept.await.unwrap()
    }

    async fn the_same_file_resumes_an_earlier_task(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let (killed, draft) = killed_and_draft(&own).await;
        let accepted = accept_after(&own, draft, Some(killed), |_, _| Ok(true)).await.unwrap();
        assert!(accepted.resumed);
        assert_eq!(accepted.task.task_id, killed);
        let left = own.db.read(move |conn| store::upload_state(conn, draft)).await.unwrap();
        assert_eq!(left, None, "the draft's own task is gone");
    }

    async fn a_task_deleted_between_find_and_lock_is_not_resumed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let (killed, draft) = killed_and_draft(&own).await;
        let delete = |conn: &mut DbConnection, id| {
            let now = db::now(conn)?;
            store::mark_deleted(conn, id, now)
        };
        let accepted = accept_after(&own, draft, Some(killed), delete).await.unwrap();
        assert_eq!((accepted.resumed, accepted.task.task_id), (false, draft));
        let deleted = own.db.read(move |conn| store::upload_state(conn, killed)).await.unwrap();
        assert_eq!(deleted, Some(TaskState::Killed), "a deleted task stays as it is");
    }

    async fn a_task_expired_between_find_and_lock_is_not_resumed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let (killed, draft) = killed_and_draft(&own).await;
        let remove = |conn: &mut DbConnection, id| {
            let now = db::now(conn)?;
            retention::mark_files_removed(conn, id, now + Duration::from_secs(1), now)
        };
        let accepted = accept_after(&own, draft, Some(killed), remove).await.unwrap();
        assert_eq!((accepted.resumed, accepted.task.task_id), (false, draft));
    }

    async fn a_task_resumed_between_find_and_lock_is_not_resumed_twice(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let (killed, draft) = killed_and_draft(&own).await;
        let resume = |conn: &mut DbConnection, id| {
            let (task, now) = store::find_and_lock_one(conn, id)?.unwrap();
            transitions::resume(conn, &task, now)
        };
        let accepted = accept_after(&own, draft, Some(killed), resume).await.unwrap();
        assert_eq!((accepted.resumed, accepted.task.task_id), (false, draft));
    }

    async fn a_missing_or_stopped_draft_does_not_become_a_task(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let gone = draft(&own).await;
        let remove = own.db.write(move |conn| store::remove_initializing(conn, gone));
        assert!(remove.await.unwrap());
        let verdict = accept_after(&own, gone, None, |_, _| Ok(true)).await;
        assert_eq!(verdict.unwrap_err(), None);
        let stopped = draft(&own).await;
        let stop = own.db.write(move |conn| {
            let (task, now) = store::find_and_lock_one(conn, stopped)?.unwrap();
            store::end(conn, &task, TaskState::Stopping, now)
        });
        assert!(stop.await.unwrap());
        let verdict = accept_after(&own, stopped, None, |_, _| Ok(true)).await;
        assert_eq!(verdict.unwrap_err(), Some(TaskState::Stopping));
    }
}
