//! Expired leases: an attempt whose worker has gone silent is revoked, and an upload whose request
//! is gone is removed.
//!
//! # Invariants
//! - `failures` counts lost leases and errors, not drains or delays that a processor asked for.
//! - A task that has lost its lease more than once next runs exclusively in its lane of a worker.
//!   The first time does not make it suspect: all tasks of a worker lose their leases when it dies,
//!   and all tasks of a fleet when its task managers hang.

use common::problem::Problem;
use common::storage::{ObjectKey, Storage};
use common::task::{TaskId, TaskState};
use tracing::warn;

use crate::db::{self, Database, DbResult};
use crate::dispatch::relay::RelaySignal;
use crate::lifecycle::sweep;
use crate::passes::{Failures, PassError};
use crate::tasks::attempts::{self, AttemptEnd, AttemptOutcome, EndedAttempt};
use crate::tasks::end::TaskEnd;
use crate::tasks::limits::backoff;
use crate::tasks::outbox;
use crate::tasks::store::{self, Enqueue, Locked};
use crate::tasks::transitions::retry_or_fail;

/// How many attempts one transaction revokes.
const BATCH: i64 = 100;

/// One pass over all expired leases.
pub async fn pass(db: &Database, storage: &Storage, relay: &RelaySignal) -> Result<(), PassError> {
    let mut failures = Failures::default();
    revoke_attempts(db, storage, relay, &mut failures).await?;
    remove_interrupted_uploads(db, storage, &mut failures).await?;
    failures.into_result()
}

/// The tasks in `state` whose lease has expired, after `after`.
async fn expired(db: &Database, state: TaskState, after: Option<TaskId>) -> DbResult<Vec<TaskId>> {
    db.read(move |conn| {
        let now = db::now(conn)?;
        store::with_expired_lease(conn, state, now, after, BATCH)
    })
    .await
}

async fn revoke_attempts(
    db: &Database,
    storage: &Storage,
    relay: &RelaySignal,
    failures: &mut Failures,
) -> Result<(), PassError> {
    let mut after = None;
    loop {
        let ids = expired(db, TaskState::Processing, after).await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = Some(*last);
        let mut lost = Vec::new();
        match revoke(db, &ids).await {
            Ok(taken) => lost.extend(counted(taken)),
            // The cause is one of them, or temporary.
            Err(_) => {
                for id in ids {
                    match revoke(db, &[id]).await {
                        Ok(taken) => lost.extend(counted(taken)),
                        Err(error) => failures.note(id, error)?,
                    }
                }
            }
        }
        relay.wake();
        for (id, attempt) in lost {
            if let Err(error) = sweep::remove_unwanted(db, storage, id, attempt).await {
                warn!(task_id = %id, attempt, %error, "cannot delete the files of a lost attempt, the sweep will");
            }
        }
    }
}

/// An attempt that was revoked.
struct Revoked {
    id: TaskId,
    attempt: u32,
    end: AttemptEnd,
}

/// Counts revoked attempts.
fn counted(revoked: Vec<Revoked>) -> impl Iterator<Item = (TaskId, u32)> {
    revoked.into_iter().map(|Revoked { id, attempt, end }| {
        end.count();
        (id, attempt)
    })
}

/// Revokes attempts, in one transaction, unless their leases were renewed or another task manager
/// was faster. Returns the revoked attempts.
async fn revoke(db: &Database, ids: &[TaskId]) -> DbResult<Vec<Revoked>> {
    let ids: Vec<db::Id> = ids.iter().map(|id| db::Id(id.0)).collect();
    db.write(move |conn| {
        let now = db::now(conn)?;
        let Locked { tasks, .. } =
            store::find_and_lock_expired(conn, TaskState::Processing, &ids, now)?;
        let mut tasks: Vec<_> = tasks.into_values().collect();
        tasks.sort_unstable_by_key(|task| task.id);
        let failed = tasks.iter().filter(|task| task.failures > 0);
        let failed: Vec<_> = failed.map(|task| db::Id(task.id.0)).collect();
        let suspects = attempts::with_lost_lease(conn, &failed)?;
        let mut ended = Vec::new();
        let mut revoked = Vec::with_capacity(tasks.len());
        let mut dispatches = Vec::new();
        for task in &tasks {
            let reason = "its worker went silent";
            warn!(task_id = %task.id, attempt = task.attempt, "the lease is lost: {reason}");
            ended.push(EndedAttempt::of(task, AttemptOutcome::LeaseLost, Some(reason), now));
            let failures = task.failures + 1;
            let change = Enqueue {
                failures,
                exclusive: task.exclusive || suspects.contains(&task.id),
                checkpoint: task.checkpoint.clone(),
                progress: task.progress.clone(),
            };
            let error = || lost_worker(failures);
            let dispatch = retry_or_fail(conn, task, change, backoff(failures), error, now)?;
            let failed = || TaskEnd::of(task, TaskState::Failed, Some(&lost_worker(failures).code));
            let task_ended = dispatch.is_none().then(failed);
            let end = AttemptEnd::of(task, AttemptOutcome::LeaseLost, task_ended, now);
            revoked.push(Revoked { id: task.id, attempt: task.attempt, end });
            dispatches.extend(dispatch);
        }
        attempts::add(conn, &ended)?;
        outbox::append(conn, &dispatches)?;
        Ok(revoked)
    })
    .await
}

fn lost_worker(failures: u32) -> Problem {
    let detail = format!(
        "The task's worker went silent or died {failures} times. If the workers are healthy, the \
         input may be too large for them; resume the task to try again."
    );
    Problem::new(500, "worker_lost", "The workers were lost", detail)
}

async fn remove_interrupted_uploads(
    db: &Database,
    storage: &Storage,
    failures: &mut Failures,
) -> Result<(), PassError> {
    let mut after = None;
    loop {
        let ids = expired(db, TaskState::Initializing, after).await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = Some(*last);
        for id in ids {
            let removed = db.write(move |conn| {
                let now = db::now(conn)?;
                store::remove_interrupted(conn, id, now)
            });
            match removed.await {
                Ok(true) => {
                    if let Err(error) = storage.delete(ObjectKey::Input(id)).await {
                        warn!(task_id = %id, %error, "cannot delete the file of an interrupted upload, the sweep will");
                    }
                }
                Ok(false) => {}
                Err(error) => failures.note(id, error)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use common::task::UserId;
    use common::task::spec::TaskSpec;
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;
    use crate::tasks::limits::UPLOAD_LEASE;

    backend_tests![an_upload_renewed_in_the_meantime_is_not_removed];

    async fn an_upload_renewed_in_the_meantime_is_not_removed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let removed = own.db.write(|conn| {
            let (id, owner, now) = (TaskId::new(), UserId(Uuid::nil()), db::now(conn)?);
            let past = now - UPLOAD_LEASE;
            store::insert_initializing(
                conn,
                id,
                owner,
                &TaskSpec::FileStatistics,
                "a",
                past,
                past,
            )?;
            let state = TaskState::Initializing;
            assert_eq!(store::with_expired_lease(conn, state, now, None, BATCH)?, [id]);
            // It is renewed after it was found and before it is removed.
            store::renew_upload(conn, id, now + UPLOAD_LEASE)?;
            let renewed = store::remove_interrupted(conn, id, now)?;
            store::renew_upload(conn, id, past)?;
            Ok((renewed, store::remove_interrupted(conn, id, now)?))
        });
        assert_eq!(removed.await.unwrap(), (false, true));
    }
}
