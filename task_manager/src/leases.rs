//! Leases: an attempt whose worker has gone silent is taken away from it, and an upload whose
//! request has gone is removed.
//!
//! # Invariants
//! - `failures` counts lost leases and errors, not drains or delays that a processor asked for.
//! - A task that lost a lease is next run alone in its worker.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::queue::Message;
use common::storage::{ObjectKey, Storage};
use common::task::{TaskId, TaskState};
use rand::RngExt;
use tracing::warn;

use crate::db::{self, Database, DbConnection, DbResult};
use crate::outbox::relay::RelaySignal;
use crate::outbox::{self, Dispatch};
use crate::tasks::Task;
use crate::tasks::attempts::{self, AttemptOutcome, EndedAttempt};
use crate::tasks::store::{self, Enqueue};

/// At this many failures a task is `failed`.
pub const MAX_ATTEMPTS: u32 = 5;
/// How long a request that receives a file may go without renewing its lease.
pub const UPLOAD_LEASE: Duration = Duration::from_secs(30);
/// How long the first retry waits on average; every further one waits twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// No retry waits longer than this on average.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// How many tasks one transaction takes away.
const BATCH: i64 = 100;

/// How long to wait before a task that has failed `failures` times is run again: doubled each
/// time, and between half and one and a half of that, so that tasks which failed together do not
/// come back together.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let average = FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF);
    average.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Puts a task back in the queue or, with `failures` of [`MAX_ATTEMPTS`], ends it as `failed`.
/// The attempt must hold the fence; runs in the caller's transaction, which is to append what is
/// answered to the outbox.
pub fn retry_or_fail(
    conn: &mut DbConnection,
    task: &Task,
    change: Enqueue,
    delay: Duration,
    error: impl FnOnce() -> Problem,
    now: NaiveDateTime,
) -> DbResult<Option<Dispatch>> {
    if change.failures >= MAX_ATTEMPTS {
        if store::end(conn, task, TaskState::Failed, now)? {
            let error = error().with_instance(format!("/v1/tasks/{}", task.id));
            store::set_error(conn, task, &error, change.failures)?;
        }
        return Ok(None);
    }
    let due_at = now + delay;
    let is_queued = store::enqueue(conn, task, &change, now, due_at)?;
    let message = Message { task_id: task.id, dispatch: task.dispatch + 1 };
    Ok(is_queued.then(|| Dispatch { kind: task.kind(), message, due_at }))
}

/// One pass over all expired leases.
pub async fn pass(db: &Database, storage: &Storage, relay: &RelaySignal) -> DbResult<()> {
    while take_back_attempts(db).await? > 0 {
        relay.wake();
    }
    loop {
        let cut = remove_cut_uploads(db).await?;
        if cut.is_empty() {
            return Ok(());
        }
        for id in cut {
            if let Err(error) = storage.delete(ObjectKey::Input(id)).await {
                warn!(task_id = %id, %error, "the file of a cut upload is left to the sweep");
            }
        }
    }
}

async fn take_back_attempts(db: &Database) -> DbResult<usize> {
    db.write(|conn| {
        let now = db::now(conn)?;
        let found = store::with_expired_lease(conn, TaskState::Processing, now, BATCH)?;
        let ids: Vec<_> = found.iter().map(|task| db::Id(task.id.0)).collect();
        // Read again under the locks: another task manager may have been faster.
        db::lock_tasks(conn, &ids)?;
        let expired = store::with_expired_lease(conn, TaskState::Processing, now, BATCH)?;
        let mut ended = Vec::new();
        let mut dispatches = Vec::new();
        for task in expired.iter().filter(|task| ids.contains(&db::Id(task.id.0))) {
            let reason = "its worker went silent";
            warn!(task_id = %task.id, attempt = task.attempt, "the lease is lost: {reason}");
            ended.push(EndedAttempt::of(task, AttemptOutcome::LeaseLost, Some(reason), now));
            let failures = task.failures + 1;
            let change = Enqueue {
                failures,
                alone: true,
                checkpoint: task.checkpoint.clone(),
                progress: task.progress.clone(),
            };
            let error = || lost_worker(failures);
            dispatches.extend(retry_or_fail(conn, task, change, backoff(failures), error, now)?);
        }
        attempts::add(conn, &ended)?;
        outbox::append(conn, &dispatches)?;
        Ok(expired.len())
    })
    .await
}

fn lost_worker(failures: u32) -> Problem {
    let detail = format!(
        "The task's worker went silent or died {failures} times. If the workers are well, the \
         input may be more than they can take; resume the task to try again."
    );
    Problem::new(500, "worker_lost", "The workers were lost", detail)
}

async fn remove_cut_uploads(db: &Database) -> DbResult<Vec<TaskId>> {
    db.write(|conn| {
        let now = db::now(conn)?;
        let expired = store::with_expired_lease(conn, TaskState::Initializing, now, BATCH)?;
        let mut removed = Vec::new();
        for task in expired {
            if store::remove_initializing(conn, task.id)? {
                removed.push(task.id);
            }
        }
        Ok(removed)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_longer_each_time_but_never_for_ever() {
        for failures in 1..100 {
            let delay = backoff(failures);
            let average = FIRST_BACKOFF.saturating_mul(1 << (failures - 1).min(16));
            assert!(delay >= average.min(LONGEST_BACKOFF) / 2, "{failures}: {delay:?}");
            assert!(delay <= LONGEST_BACKOFF * 3 / 2, "{failures}: {delay:?}");
        }
    }
}
