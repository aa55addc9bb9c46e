//! State changes that affect several rows: the task, its attempt and its outbox row.
//!
//! # Invariants
//! - The caller holds the task's lock and its transaction, and each change is a compare-and-swap.
//! - The outbox row follows the state: a task that leaves the queue has none.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::task::TaskState;

use super::Task;
use super::attempts::{self, AttemptOutcome, EndedAttempt};
use super::limits::MAX_ATTEMPTS;
use super::outbox::{self, Dispatch};
use super::store::{self, Enqueue};
use crate::db::{DbConnection, DbResult};

/// Moves a task to `next`, `stopping` or `killed`, and removes it from the queue. False if its
/// state does not permit it.
pub fn interrupt(
    conn: &mut DbConnection,
    task: &Task,
    next: TaskState,
    now: NaiveDateTime,
) -> DbResult<bool> {
    if !store::end(conn, task, next, now)? {
        return Ok(false);
    }
    if task.state == TaskState::Processing {
        let outcome = match next {
            TaskState::Killed => AttemptOutcome::Killed,
            _ => AttemptOutcome::Stopped,
        };
        attempts::add(conn, &[EndedAttempt::of(task, outcome, None, now)])?;
    }
    outbox::remove(conn, task.id)?;
    Ok(true)
}

/// Queues an interrupted or failed task again, in the caller's transaction. False if its state does
/// not permit it.
pub fn resume(conn: &mut DbConnection, task: &Task, now: NaiveDateTime) -> DbResult<bool> {
    if !matches!(task.state, TaskState::Killed | TaskState::Failed) {
        return Ok(false);
    }
    let change = Enqueue {
        failures: 0,
        exclusive: false,
        checkpoint: task.checkpoint.clone(),
        progress: task.checkpoint.as_ref().and(task.progress.clone()),
    };
    if !store::enqueue(conn, task, &change, now, now)? {
        return Ok(false);
    }
    outbox::append(conn, &[Dispatch::next_of(task, now)])?;
    Ok(true)
}

/// Queues a task again or, with `failures` of [`MAX_ATTEMPTS`], ends it as `failed`. The attempt
/// must hold the fence. Runs in the caller's transaction, which must add the returned dispatch to
/// the outbox.
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
    Ok(is_queued.then(|| Dispatch::next_of(task, due_at)))
}
