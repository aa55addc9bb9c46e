//! Changes of tasks: each one by compare-and-swap, in the caller's transaction.

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::report::{InputFile, WorkerId};
use common::task::spec::TaskSpec;
use common::task::{Progress, TaskId, TaskState, UserId};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use serde_json::Value;

use super::{names, signed, to_json};
use crate::db::schema::{outbox, task_phases, tasks, uploads};
use crate::db::{DbConnection, DbError, DbResult, Id, execute_cached, one_of};
use crate::folding::fold;
use crate::tasks::Task;
use crate::tasks::unreadable::Unreadable;

/// Inserts a task whose upload has started.
pub fn insert_initializing(
    conn: &mut DbConnection,
    id: TaskId,
    owner: UserId,
    spec: &TaskSpec,
    file_name: &str,
    now: NaiveDateTime,
    leased_until: NaiveDateTime,
) -> DbResult<()> {
    diesel::insert_into(tasks::table)
        .values((
            tasks::id.eq(Id(id.0)),
            tasks::owner.eq(Id(owner.0)),
            tasks::kind.eq(spec.kind().as_str()),
            tasks::state.eq(TaskState::Initializing.as_str()),
            tasks::spec.eq(to_json(spec)?),
            tasks::file_name.eq(file_name),
            tasks::file_name_key.eq(fold(file_name)),
            tasks::created_at.eq(now),
            tasks::changed_at.eq(now),
            tasks::leased_until.eq(leased_until),
        ))
        .execute(conn)?;
    Ok(())
}

/// Sets the folded file name of a task, if it still exists.
pub fn set_file_name_key(conn: &mut DbConnection, id: TaskId, key: &str) -> DbResult<()> {
    let task = tasks::table.find(Id(id.0));
    diesel::update(task).set(tasks::file_name_key.eq(key)).execute(conn)?;
    Ok(())
}

/// Renews the lease of a request that receives a file; false if the task is no longer
/// `initializing`.
pub fn renew_upload(conn: &mut DbConnection, id: TaskId, until: NaiveDateTime) -> DbResult<bool> {
    let renewed = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .set(tasks::leased_until.eq(until))
        .execute(conn)?;
    Ok(renewed == 1)
}

/// Records the received file, which is complete `now`.
pub fn set_input(
    conn: &mut DbConnection,
    id: TaskId,
    input: &InputFile,
    dedup_key: &str,
    now: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set((
            tasks::size.eq(i64::try_from(input.size).map_err(DbError::corrupt)?),
            tasks::sha256.eq(&input.sha256),
            tasks::dedup_key.eq(dedup_key),
        ))
        .execute(conn)?;
    diesel::update(task_phases::table.find(Id(id.0)))
        .set(task_phases::received_at.eq(now))
        .execute(conn)?;
    Ok(())
}

/// Removes an `initializing` task: its upload was interrupted, or another task is resumed instead.
pub fn remove_initializing(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    let removed = diesel::delete(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .execute(conn)?;
    Ok(removed == 1)
}

/// Removes a task whose upload was interrupted: its lease expired before `now`. False if the lease
/// was renewed, or the task is no longer `initializing`.
pub fn remove_interrupted(
    conn: &mut DbConnection,
    id: TaskId,
    now: NaiveDateTime,
) -> DbResult<bool> {
    let removed = diesel::delete(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .filter(tasks::leased_until.lt(now))
        .execute(conn)?;
    Ok(removed == 1)
}

/// What changes when a task is queued.
#[derive(Debug, Clone, Default)]
pub struct Enqueue {
    pub failures: u32,
    pub exclusive: bool,
    pub checkpoint: Option<Value>,
    pub progress: Option<Progress>,
}

/// Queues the task by compare-and-swap, with a new dispatch number that is due at `due_at`. False
/// if its state does not permit it, or it was deleted or its files have expired. The caller writes
/// the outbox row.
pub fn enqueue(
    conn: &mut DbConnection,
    task: &Task,
    change: &Enqueue,
    now: NaiveDateTime,
    due_at: NaiveDateTime,
) -> DbResult<bool> {
    if !task.state.can_become(TaskState::Queued) {
        return Ok(false);
    }
    let updated = execute_cached!(
        conn,
        diesel::update(tasks::table.find(Id(task.id.0)))
            .filter(tasks::state.eq(task.state.as_str()))
            .filter(tasks::attempt.eq(signed(task.attempt)))
            // Not `= false`: databases would take the index of the deleted ones.
            .filter(tasks::deleted.ne(true))
            .filter(tasks::files_removed.ne(true))
            .set((
                tasks::state.eq(TaskState::Queued.as_str()),
                tasks::dispatch.eq(signed(task.dispatch + 1)),
                tasks::failures.eq(signed(change.failures)),
                tasks::redispatches.eq(0),
                tasks::exclusive.eq(change.exclusive),
                tasks::checkpoint.eq(change.checkpoint.as_ref().map(to_json).transpose()?),
                tasks::progress.eq(change.progress.as_ref().map(to_json).transpose()?),
                tasks::error.eq(None::<String>),
                tasks::leased_until.eq(None::<NaiveDateTime>),
                tasks::attempt_started_at.eq(None::<NaiveDateTime>),
                tasks::finished_at.eq(None::<NaiveDateTime>),
                tasks::dispatched_at.eq(due_at),
                tasks::queued_at.eq(now),
                tasks::changed_at.eq(now),
            ))
    )?;
    Ok(updated == 1)
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn coalesce(
        time: diesel::sql_types::Nullable<diesel::sql_types::Timestamp>,
        other: diesel::sql_types::Nullable<diesel::sql_types::Timestamp>,
    ) -> diesel::sql_types::Nullable<diesel::sql_types::Timestamp>;
}

/// Assigns tasks to a worker, which the caller has locked and found `queued`, and applies the
/// changes to `tasks` too.
pub fn claim(
    conn: &mut DbConnection,
    tasks: &mut [&mut Task],
    worker: WorkerId,
    now: NaiveDateTime,
    leased_until: NaiveDateTime,
) -> DbResult<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let ids: Vec<Id> = tasks.iter().map(|task| Id(task.id.0)).collect();
    // Selected by their ids only: with a condition on the state, SQLite would scan all queued
    // tasks.
    let claimed = execute_cached!(
        conn,
        diesel::update(tasks::table.filter(one_of(tasks::id, &ids))).set((
            tasks::state.eq(TaskState::Processing.as_str()),
            tasks::attempt.eq(tasks::attempt + 1),
            tasks::worker.eq(Id(worker.0)),
            tasks::leased_until.eq(leased_until),
            tasks::started_at.eq(coalesce(tasks::started_at, now)),
            tasks::attempt_started_at.eq(now),
            tasks::changed_at.eq(now),
        ))
    )?;
    if claimed != tasks.len() {
        return Err(DbError::corrupt("tasks that are locked were changed by others"));
    }
    for task in tasks {
        task.state = TaskState::Processing;
        task.attempt += 1;
        task.worker = Some(worker);
        task.started_at = task.started_at.or(Some(now));
        task.attempt_started_at = Some(now);
        task.changed_at = now;
    }
    Ok(())
}

/// Renews the lease of an attempt that holds the fence, and records its progress.
pub fn heartbeat(
    conn: &mut DbConnection,
    task: &Task,
    progress: &Progress,
    now: NaiveDateTime,
    leased_until: NaiveDateTime,
) -> DbResult<()> {
    execute_cached!(
        conn,
        diesel::update(tasks::table.find(Id(task.id.0))).set((
            tasks::leased_until.eq(leased_until),
            tasks::progress.eq(to_json(progress)?),
            tasks::changed_at.eq(now),
        ))
    )?;
    Ok(())
}

/// Moves the task to a state in which no worker runs it, by compare-and-swap. False if its state
/// does not permit it.
pub fn end(
    conn: &mut DbConnection,
    task: &Task,
    next: TaskState,
    now: NaiveDateTime,
) -> DbResult<bool> {
    if !task.state.can_become(next) {
        return Ok(false);
    }
    let is_stopping = next == TaskState::Stopping;
    let finished_at = (!is_stopping).then_some(now);
    let updated = diesel::update(tasks::table.find(Id(task.id.0)))
        .filter(tasks::state.eq(task.state.as_str()))
        .filter(tasks::attempt.eq(signed(task.attempt)))
        .set((
            tasks::state.eq(next.as_str()),
            tasks::leased_until.eq(None::<NaiveDateTime>),
            tasks::finished_at.eq(finished_at),
            tasks::changed_at.eq(now),
        ))
        .execute(conn)?;
    if is_stopping && updated == 1 {
        diesel::update(task_phases::table.find(Id(task.id.0)))
            .set(task_phases::stopping_at.eq(now))
            .execute(conn)?;
    }
    Ok(updated == 1)
}

/// Records why a task failed, and its failures.
pub fn set_error(
    conn: &mut DbConnection,
    task: &Task,
    error: &Problem,
    failures: u32,
) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(task.id.0)))
        .set((tasks::error.eq(to_json(error)?), tasks::failures.eq(signed(failures))))
        .execute(conn)?;
    Ok(())
}

/// Fails a broken task that the caller has locked, and updates `task`. One of another version
/// stays.
pub fn fail_unreadable(
    conn: &mut DbConnection,
    task: &mut Unreadable,
    now: NaiveDateTime,
) -> DbResult<()> {
    let Some(state) = task.fails_from() else { return Ok(()) };
    let failed = diesel::update(tasks::table.find(Id(task.id.0)))
        .filter(tasks::state.eq(state.as_str()))
        .filter(tasks::attempt.eq(task.attempt))
        .set((
            tasks::state.eq(TaskState::Failed.as_str()),
            tasks::error.eq(to_json(&task.problem())?),
            tasks::leased_until.eq(None::<NaiveDateTime>),
            tasks::finished_at.eq(now),
            tasks::changed_at.eq(now),
        ))
        .execute(conn)?;
    if failed == 1 {
        diesel::delete(outbox::table.find(Id(task.id.0))).execute(conn)?;
        task.state = Some(TaskState::Failed);
    }
    Ok(())
}

/// Records the progress of a task.
pub fn set_progress(conn: &mut DbConnection, id: TaskId, progress: &Progress) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set(tasks::progress.eq(to_json(progress)?))
        .execute(conn)?;
    Ok(())
}

/// Clears the progress and checkpoint of a task whose data was rolled back.
pub fn clear_progress(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set((
            tasks::checkpoint.eq(None::<String>),
            tasks::progress.eq(None::<String>),
            tasks::error.eq(None::<String>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Hides an ended task; a sweep removes it. False if it has not ended.
pub fn mark_deleted(conn: &mut DbConnection, id: TaskId, now: NaiveDateTime) -> DbResult<bool> {
    let ended = TaskState::ALL.into_iter().filter(|state| state.is_ended());
    let marked = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::state.eq_any(names(ended)))
        .set((tasks::deleted.eq(true), tasks::changed_at.eq(now)))
        .execute(conn)?;
    Ok(marked == 1)
}

/// Hides an unreadable task. False while it has a lease, since a worker may be running it.
pub fn mark_unreadable_deleted(
    conn: &mut DbConnection,
    id: TaskId,
    now: NaiveDateTime,
) -> DbResult<bool> {
    let marked = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::leased_until.is_null().or(tasks::leased_until.lt(now)))
        .set((tasks::deleted.eq(true), tasks::changed_at.eq(now)))
        .execute(conn)?;
    if marked == 1 {
        diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    }
    Ok(marked == 1)
}

/// Expires all leases: at the start of the only process, none is in use. Uploads that another
/// request may continue keep theirs.
pub fn expire_all_leases(conn: &mut DbConnection, expired: NaiveDateTime) -> DbResult<usize> {
    let leased = [TaskState::Processing, TaskState::Initializing];
    let resumable = uploads::table.filter(uploads::id.eq(tasks::id));
    let updated = diesel::update(tasks::table)
        .filter(tasks::state.eq_any(names(leased.into_iter())))
        .filter(not(exists(resumable)))
        .set(tasks::leased_until.eq(expired))
        .execute(conn)?;
    Ok(updated)
}
