//! SQL on `tasks`: a row and the task that it is. No function opens a transaction.

mod changes;
mod lists;

use std::collections::HashMap;

use chrono::NaiveDateTime;
use common::report::{InputFile, WorkerId};
use common::task::{TaskId, TaskState, UserId};
use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Task;
use crate::db::schema::tasks;
use crate::db::{self, DbConnection, DbError, DbResult, Id, locked, on_either, one_of};

pub use changes::{
    Enqueue, claim, clear_progress, end, enqueue, expire_all_leases, heartbeat,
    insert_initializing, mark_deleted, remove_initializing, renew_upload, set_error, set_input,
    set_progress,
};
pub use lists::{
    Filter, changed_since, first_in_queue, in_state, list, queue_position, with_expired_lease,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = tasks)]
struct TaskRow {
    id: Id,
    owner: Id,
    state: String,
    spec: String,
    attempt: i32,
    dispatch: i32,
    failures: i32,
    alone: bool,
    worker: Option<Id>,
    progress: Option<String>,
    checkpoint: Option<String>,
    file_name: Option<String>,
    size: Option<i64>,
    sha256: Option<String>,
    output: Option<String>,
    output_attempt: Option<i32>,
    result: Option<String>,
    error: Option<String>,
    created_at: NaiveDateTime,
    changed_at: NaiveDateTime,
    queued_at: Option<NaiveDateTime>,
    started_at: Option<NaiveDateTime>,
    attempt_started_at: Option<NaiveDateTime>,
    finished_at: Option<NaiveDateTime>,
    files_removed: bool,
}

impl TryFrom<TaskRow> for Task {
    type Error = DbError;

    fn try_from(row: TaskRow) -> DbResult<Self> {
        Ok(Self {
            id: TaskId(row.id.0),
            owner: UserId(row.owner.0),
            state: row.state.parse().map_err(DbError::corrupt)?,
            spec: from_json(&row.spec)?,
            attempt: count(row.attempt)?,
            dispatch: count(row.dispatch)?,
            failures: count(row.failures)?,
            alone: row.alone,
            worker: row.worker.map(|id| WorkerId(id.0)),
            progress: optional_json(row.progress.as_deref())?,
            checkpoint: optional_json(row.checkpoint.as_deref())?,
            input: match (row.file_name, row.size, row.sha256) {
                (Some(file_name), Some(size), Some(sha256)) => {
                    let size = u64::try_from(size).map_err(DbError::corrupt)?;
                    Some(InputFile { file_name, size, sha256 })
                }
                // Still being received: only the name is known.
                (Some(file_name), ..) => {
                    Some(InputFile { file_name, size: 0, sha256: String::new() })
                }
                (None, ..) => None,
            },
            output: optional_json(row.output.as_deref())?,
            output_attempt: row.output_attempt.map(count).transpose()?,
            result: optional_json(row.result.as_deref())?,
            error: optional_json(row.error.as_deref())?,
            created_at: row.created_at,
            changed_at: row.changed_at,
            queued_at: row.queued_at,
            started_at: row.started_at,
            attempt_started_at: row.attempt_started_at,
            finished_at: row.finished_at,
            files_removed: row.files_removed,
        })
    }
}

fn count(value: i32) -> DbResult<u32> {
    u32::try_from(value).map_err(DbError::corrupt)
}

/// Counters are kept as signed numbers; none of them comes near the limit.
pub fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn from_json<T: DeserializeOwned>(text: &str) -> DbResult<T> {
    serde_json::from_str(text).map_err(DbError::corrupt)
}

fn optional_json<T: DeserializeOwned>(text: Option<&str>) -> DbResult<Option<T>> {
    text.map(from_json).transpose()
}

pub fn to_json<T: Serialize>(value: &T) -> DbResult<String> {
    serde_json::to_string(value).map_err(DbError::corrupt)
}

fn names(states: impl Iterator<Item = TaskState>) -> Vec<&'static str> {
    states.map(TaskState::as_str).collect()
}

fn read_rows(rows: impl IntoIterator<Item = TaskRow>) -> DbResult<Vec<Task>> {
    rows.into_iter().map(Task::try_from).collect()
}

/// The task, whoever owns it; not one that was deleted.
pub fn find(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<Task>> {
    tasks::table
        .find(Id(id.0))
        .filter(tasks::deleted.eq(false))
        .select(TaskRow::as_select())
        .first(conn)
        .optional()?
        .map(Task::try_from)
        .transpose()
}

/// Tasks that are locked until the transaction ends.
#[derive(Debug)]
pub struct Locked {
    /// By their ids.
    pub tasks: HashMap<TaskId, Task>,
    /// The database's time when the last of them had been locked.
    pub now: NaiveDateTime,
}

/// Those of the tasks that are there; not one that was deleted. Locks them in the order
/// of their ids, so that two batches cannot wait for each other in a ring.
pub fn find_and_lock(conn: &mut DbConnection, ids: &[Id]) -> DbResult<Locked> {
    let rows: Vec<(TaskRow, NaiveDateTime)> = locked!(
        conn,
        tasks::table
            .filter(one_of(tasks::id, ids))
            // Not `= false`: databases would take the index of the deleted ones.
            .filter(tasks::deleted.ne(true))
            .order(tasks::id)
            .select((TaskRow::as_select(), db::clock())),
        (TaskRow, NaiveDateTime)
    )?;
    let now = match rows.iter().map(|(_, locked_at)| *locked_at).max() {
        Some(now) => now,
        None => db::now(conn)?,
    };
    let tasks = read_rows(rows.into_iter().map(|(row, _)| row))?.into_iter();
    Ok(Locked { tasks: tasks.map(|task| (task.id, task)).collect(), now })
}

/// The same of one task, with the database's time when it was locked.
pub fn find_and_lock_one(
    conn: &mut DbConnection,
    id: TaskId,
) -> DbResult<Option<(Task, NaiveDateTime)>> {
    let Locked { mut tasks, now } = find_and_lock(conn, &[Id(id.0)])?;
    Ok(tasks.remove(&id).map(|task| (task, now)))
}

/// Those of the tasks that `owner` owns, oldest change first; not one that was deleted.
pub fn find_several(conn: &mut DbConnection, owner: UserId, ids: &[TaskId]) -> DbResult<Vec<Task>> {
    let ids: Vec<Id> = ids.iter().map(|id| Id(id.0)).collect();
    let rows = on_either!(conn, |conn| tasks::table
        .filter(one_of(tasks::id, &ids))
        .filter(tasks::owner.eq(Id(owner.0)))
        // Not `= false`: databases would take the index of the deleted ones.
        .filter(tasks::deleted.ne(true))
        .order((tasks::changed_at, tasks::id))
        .select(TaskRow::as_select())
        .load(conn))?;
    read_rows(rows)
}

/// The task if `owner` owns it; not one that was deleted.
pub fn find_owned(conn: &mut DbConnection, owner: UserId, id: TaskId) -> DbResult<Option<Task>> {
    Ok(find(conn, id)?.filter(|task| task.owner == owner))
}

/// The newest task with the same content and parameters that can go on: `killed`, or `failed`
/// with a checkpoint. It is not locked, so that it may be another one's by now.
pub fn find_resumable(
    conn: &mut DbConnection,
    owner: UserId,
    identity: &str,
) -> DbResult<Option<TaskId>> {
    let killed = tasks::state.eq(TaskState::Killed.as_str());
    let failed = tasks::state.eq(TaskState::Failed.as_str()).and(tasks::checkpoint.is_not_null());
    let found: Option<Id> = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        .filter(tasks::identity.eq(identity))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::files_removed.eq(false))
        .filter(killed.or(failed))
        .order(tasks::id.desc())
        .select(tasks::id)
        .first(conn)
        .optional()?;
    Ok(found.map(|id| TaskId(id.0)))
}

/// What became of the task of an upload, also if it was deleted; none where its row is gone.
pub fn upload_state(conn: &mut DbConnection, id: TaskId) -> DbResult<Option<TaskState>> {
    let state: Option<String> =
        tasks::table.find(Id(id.0)).select(tasks::state).first(conn).optional()?;
    state.map(|state| state.parse().map_err(DbError::corrupt)).transpose()
}
