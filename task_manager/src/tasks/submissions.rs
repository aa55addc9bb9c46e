//! Tasks without a file: the transaction that creates them also queues them.
//!
//! # Invariants
//! - A task and its outbox row are written in the same transaction, the caller's.
//!
//! # Not here
//! Tasks that start with an upload (`lifecycle::upload`).

mod store;

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskState, UserId};

use super::Task;
use crate::db::{DbConnection, DbResult};
use crate::tasks::outbox::{self, Dispatch};

/// How many tasks are inserted with one statement.
const BATCH: usize = 1_000;

/// A task to create.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub owner: UserId,
    pub spec: TaskSpec,
}

/// Queues new tasks, in order, and returns them. Runs in the caller's transaction; the caller wakes
/// the relay after it.
pub fn submit(
    conn: &mut DbConnection,
    tasks: Vec<NewTask>,
    now: NaiveDateTime,
) -> DbResult<Vec<Task>> {
    insert(conn, tasks, now, outbox::append_new)
}

/// Like [`submit`], for a caller that publishes the [`dispatches`] directly after its commit. This
/// saves the commit that a relay needs before it publishes.
pub fn submit_reserved(
    conn: &mut DbConnection,
    tasks: Vec<NewTask>,
    now: NaiveDateTime,
) -> DbResult<Vec<Task>> {
    insert(conn, tasks, now, |conn, dispatches| outbox::append_reserved(conn, dispatches, now))
}

fn insert(
    conn: &mut DbConnection,
    tasks: Vec<NewTask>,
    now: NaiveDateTime,
    append: impl Fn(&mut DbConnection, &[Dispatch]) -> DbResult<()>,
) -> DbResult<Vec<Task>> {
    let tasks: Vec<Task> = tasks.into_iter().map(|task| queued(task, now)).collect();
    for batch in tasks.chunks(BATCH) {
        store::insert_queued(conn, batch, now)?;
        append(conn, &dispatches(batch))?;
    }
    Ok(tasks)
}

/// The dispatches of newly queued tasks.
pub fn dispatches(tasks: &[Task]) -> Vec<Dispatch> {
    let dispatch = |task: &Task| {
        let message = Message { task_id: task.id, dispatch: task.dispatch };
        Dispatch { kind: task.kind(), message, due_at: task.queued_at.unwrap_or(task.created_at) }
    };
    tasks.iter().map(dispatch).collect()
}

fn queued(NewTask { owner, spec }: NewTask, now: NaiveDateTime) -> Task {
    Task {
        id: TaskId::new(),
        owner,
        state: TaskState::Queued,
        spec,
        attempt: 0,
        dispatch: 1,
        failures: 0,
        exclusive: false,
        worker: None,
        leased_until: None,
        progress: None,
        checkpoint: None,
        input: None,
        output: None,
        output_attempt: None,
        result: None,
        error: None,
        created_at: now,
        changed_at: now,
        queued_at: Some(now),
        started_at: None,
        attempt_started_at: None,
        finished_at: None,
        files_removed: false,
    }
}
