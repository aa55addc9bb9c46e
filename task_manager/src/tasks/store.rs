//! SQL on `tasks`. No function opens a transaction.

mod changes;
mod counts;
mod failures;
mod filter;
mod lists;
mod rows;
mod throughput;

use std::collections::HashMap;

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState, UserId};
use diesel::prelude::*;
use serde::Serialize;

use self::rows::{TaskRow, read, read_rows};
use super::Task;
use super::unreadable::{ReadTask, Unreadable};
use crate::db::schema::{task_phases, tasks};
use crate::db::{self, DbConnection, DbError, DbResult, Id, locked, on_either, one_of};

pub use changes::{
    Enqueue, claim, clear_progress, end, enqueue, expire_all_leases, fail_unreadable, heartbeat,
    insert_initializing, mark_deleted, mark_unreadable_deleted, remove_initializing,
    remove_interrupted, renew_upload, set_error, set_file_name_key, set_input, set_progress,
};
pub use counts::{Count, CountBy, count, counts};
pub use failures::{Failures, failures};
pub use filter::{Filter, ParameterName};
pub use lists::{
    Sort, changed_since, first_in_queue, ids, in_state, list, queue_position, with_expired_lease,
    with_file_names_after,
};
pub use throughput::{Ended, ended_per_minute};

/// Counters are stored as signed numbers; none of them comes near the limit.
pub fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub fn to_json<T: Serialize>(value: &T) -> DbResult<String> {
    serde_json::to_string(value).map_err(DbError::corrupt)
}

/// The ids in the order in which tasks are locked, each once.
pub fn sorted_ids(ids: impl Iterator<Item = TaskId>) -> Vec<Id> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| Id(id.0)).collect()
}

fn names(states: impl Iterator<Item = TaskState>) -> Vec<&'static str> {
    states.map(TaskState::as_str).collect()
}

/// The task, regardless of its owner, unless it was deleted.
pub fn find_any(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<ReadTask>> {
    let row = tasks::table
        .find(Id(id.0))
        .filter(tasks::deleted.eq(false))
        .select(TaskRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.map(read))
}

/// The task, regardless of its owner, unless it was deleted.
///
/// # Errors
/// [`DbError::UnreadableTask`]
pub fn find(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<Task>> {
    find_any(conn, id)?.transpose().map_err(|task| unreadable(&task))
}

fn unreadable(task: &Unreadable) -> DbError {
    DbError::UnreadableTask(task.detail())
}

/// Tasks that are locked until the transaction ends.
#[derive(Debug)]
pub struct Locked {
    /// By their ids.
    pub tasks: HashMap<TaskId, Task>,
    /// Tasks that this version cannot read.
    pub unreadable: Vec<Unreadable>,
    /// The database's time after the last of them was locked.
    pub now: NaiveDateTime,
}

/// Locks those of the tasks that exist and were not deleted, in the order of their ids, so that two
/// batches cannot deadlock. Broken ones fail here.
pub fn find_and_lock(conn: &mut DbConnection, ids: &[Id]) -> DbResult<Locked> {
    let rows: Vec<(TaskRow, NaiveDateTime)> = locked!(
        conn,
        tasks::table
            .filter(one_of(tasks::id, ids))
            // Not `= false`: databases would use the index on deleted tasks.
            .filter(tasks::deleted.ne(true))
            .order(tasks::id)
            .select((TaskRow::as_select(), db::clock())),
        (TaskRow, NaiveDateTime)
    )?;
    read_locked(conn, rows)
}

/// The same for tasks whose lease expired before `now`.
pub fn find_and_lock_expired(
    conn: &mut DbConnection,
    state: TaskState,
    ids: &[Id],
    now: NaiveDateTime,
) -> DbResult<Locked> {
    let rows: Vec<(TaskRow, NaiveDateTime)> = locked!(
        conn,
        tasks::table
            .filter(one_of(tasks::id, ids))
            .filter(tasks::state.eq(state.as_str()))
            .filter(tasks::leased_until.lt(now))
            .order(tasks::id)
            .select((TaskRow::as_select(), db::clock())),
        (TaskRow, NaiveDateTime)
    )?;
    read_locked(conn, rows)
}

fn read_locked(conn: &mut DbConnection, rows: Vec<(TaskRow, NaiveDateTime)>) -> DbResult<Locked> {
    let now = match rows.iter().map(|(_, locked_at)| *locked_at).max() {
        Some(now) => now,
        None => db::now(conn)?,
    };
    let mut locked =
        Locked { tasks: HashMap::with_capacity(rows.len()), unreadable: Vec::new(), now };
    for (row, _) in rows {
        match read(row) {
            Ok(task) => {
                locked.tasks.insert(task.id, task);
            }
            Err(mut task) => {
                fail_unreadable(conn, &mut task, now)?;
                locked.unreadable.push(*task);
            }
        }
    }
    Ok(locked)
}

/// The same for one task, with the database's time when it was locked; none if it cannot be read.
pub fn find_and_lock_one(
    conn: &mut DbConnection,
    id: TaskId,
) -> DbResult<Option<(Task, NaiveDateTime)>> {
    let Locked { mut tasks, now, .. } = find_and_lock(conn, &[Id(id.0)])?;
    Ok(tasks.remove(&id).map(|task| (task, now)))
}

/// Those of the tasks that were not deleted, regardless of their owners.
pub fn find_by_ids(conn: &mut DbConnection, ids: &[Id]) -> DbResult<Vec<ReadTask>> {
    let rows = on_either!(conn, |conn| tasks::table
        .filter(one_of(tasks::id, ids))
        // Not `= false`: databases would use the index on deleted tasks.
        .filter(tasks::deleted.ne(true))
        .select(TaskRow::as_select())
        .load(conn))?;
    Ok(read_rows(rows))
}

/// Those of the tasks that `owner` owns, oldest change first, without deleted ones.
pub fn find_several(
    conn: &mut DbConnection,
    owner: UserId,
    ids: &[TaskId],
) -> DbResult<Vec<ReadTask>> {
    let ids: Vec<Id> = ids.iter().map(|id| Id(id.0)).collect();
    let rows = on_either!(conn, |conn| tasks::table
        .filter(one_of(tasks::id, &ids))
        .filter(tasks::owner.eq(Id(owner.0)))
        // Not `= false`: databases would use the index on deleted tasks.
        .filter(tasks::deleted.ne(true))
        .order((tasks::changed_at, tasks::id))
        .select(TaskRow::as_select())
        .load(conn))?;
    Ok(read_rows(rows))
}

/// The times of a task that only its timeline shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct PhaseTimes {
    /// When its file was complete; none if it has no file, or an older version received it.
    pub received_at: Option<NaiveDateTime>,
    /// When its rollback began; none if it has none, or an older version began it.
    pub stopping_at: Option<NaiveDateTime>,
}

/// Reads them.
pub fn phase_times(conn: &mut DbConnection, id: TaskId) -> DbResult<PhaseTimes> {
    let found = task_phases::table
        .find(Id(id.0))
        .select((task_phases::received_at, task_phases::stopping_at))
        .first(conn)
        .optional()?;
    let (received_at, stopping_at) = found.unwrap_or_default();
    Ok(PhaseTimes { received_at, stopping_at })
}

/// The owner of a task, unless it was deleted.
pub fn owner_of(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<UserId>> {
    let owner: Option<Id> = tasks::table
        .find(Id(id.0))
        .filter(tasks::deleted.eq(false))
        .select(tasks::owner)
        .first(conn)
        .optional()?;
    Ok(owner.map(|id| UserId(id.0)))
}

/// The task if `owner` owns it and it was not deleted.
pub fn find_any_owned(
    conn: &mut DbConnection,
    owner: UserId,
    id: TaskId,
) -> DbResult<Option<ReadTask>> {
    let found = find_any(conn, id)?;
    Ok(found
        .filter(|task| task.as_ref().map_or_else(|task| task.owner, |task| task.owner) == owner))
}

/// The task if `owner` owns it and it was not deleted.
///
/// # Errors
/// [`DbError::UnreadableTask`]
pub fn find_owned(conn: &mut DbConnection, owner: UserId, id: TaskId) -> DbResult<Option<Task>> {
    find_any_owned(conn, owner, id)?.transpose().map_err(|task| unreadable(&task))
}

/// The newest task with the same content and parameters that can be resumed: `killed`, or `failed`
/// with a checkpoint. It is not locked, so another request may resume it first.
pub fn find_resumable(
    conn: &mut DbConnection,
    owner: UserId,
    dedup_key: &str,
) -> DbResult<Option<TaskId>> {
    let killed = tasks::state.eq(TaskState::Killed.as_str());
    let failed = tasks::state.eq(TaskState::Failed.as_str()).and(tasks::checkpoint.is_not_null());
    let found: Option<Id> = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        .filter(tasks::dedup_key.eq(dedup_key))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::files_removed.eq(false))
        .filter(killed.or(failed))
        .order(tasks::id.desc())
        .select(tasks::id)
        .first(conn)
        .optional()?;
    Ok(found.map(|id| TaskId(id.0)))
}

/// The state of the task of an upload, even if it was deleted; none if its row is gone.
pub fn upload_state(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<TaskState>> {
    let state: Option<String> =
        tasks::table.find(Id(id.0)).select(tasks::state).first(conn).optional()?;
    state.map(|state| state.parse().map_err(DbError::corrupt)).transpose()
}
