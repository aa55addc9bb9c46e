//! SQL on `tasks` and `task_attempts`. No function opens a transaction.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::report::{InputFile, WorkerId};
use common::task::spec::TaskSpec;
use common::task::{Progress, TaskId, TaskKind, TaskState, UserId};
use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Task;
use crate::db::schema::tasks;
use crate::db::{
    DbConnection, DbError, DbResult, Id, count_of, execute_cached, locked, on_either, one_of,
};
use crate::http::cursor::{Cursor, behind};

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

/// Inserts a task whose file begins to arrive.
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
            tasks::created_at.eq(now),
            tasks::changed_at.eq(now),
            tasks::leased_until.eq(leased_until),
        ))
        .execute(conn)?;
    Ok(())
}

/// Renews the lease of a request that receives a file; false where the task is no longer
/// `initializing`.
pub fn renew_upload(conn: &mut DbConnection, id: TaskId, until: NaiveDateTime) -> DbResult<bool> {
    let renewed = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .set(tasks::leased_until.eq(until))
        .execute(conn)?;
    Ok(renewed == 1)
}

/// Notes what was received.
pub fn set_input(
    conn: &mut DbConnection,
    id: TaskId,
    input: &InputFile,
    identity: &str,
) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set((
            tasks::size.eq(i64::try_from(input.size).map_err(DbError::corrupt)?),
            tasks::sha256.eq(&input.sha256),
            tasks::identity.eq(identity),
        ))
        .execute(conn)?;
    Ok(())
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

/// Those of the tasks that are there, by their ids; not one that was deleted. Locks them in the order
/// of their ids until the transaction ends, so that two batches cannot wait for each other in a ring.
pub fn find_and_lock(conn: &mut DbConnection, ids: &[Id]) -> DbResult<HashMap<TaskId, Task>> {
    let rows = locked!(
        conn,
        tasks::table
            .filter(one_of(tasks::id, ids))
            // Not `= false`: databases would take the index of the deleted ones.
            .filter(tasks::deleted.ne(true))
            .order(tasks::id)
            .select(TaskRow::as_select()),
        TaskRow
    )?;
    let tasks = read_rows(rows)?.into_iter();
    Ok(tasks.map(|task| (task.id, task)).collect())
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

/// What a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub state: Vec<TaskState>,
    pub kind: Option<TaskKind>,
    /// Part of the file's name, of any case in ASCII, or the start of the id.
    pub text: Option<String>,
    /// Created at or after.
    pub from: Option<NaiveDateTime>,
    /// Created before.
    pub to: Option<NaiveDateTime>,
    /// Older than the last task of the page before.
    pub before: Option<Cursor>,
}

/// At most `limit` tasks of `owner`, newest first.
pub fn list(
    conn: &mut DbConnection,
    owner: UserId,
    filter: &Filter,
    limit: i64,
) -> DbResult<Vec<Task>> {
    let mut query = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        .filter(tasks::deleted.eq(false))
        // By a column that no other index sorts by, or a database would take that index and pass by
        // the tasks of everybody else.
        .order((tasks::created_at.desc(), tasks::id.desc()))
        .limit(limit)
        .select(TaskRow::as_select())
        .into_boxed();
    if !filter.state.is_empty() {
        query = query.filter(tasks::state.eq_any(names(filter.state.iter().copied())));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(tasks::kind.eq(kind.as_str()));
    }
    if let Some(text) = &filter.text {
        let pattern = format!("%{}%", escape_like(&text.to_lowercase()));
        let lowered = lower(tasks::file_name);
        match text.parse::<TaskId>() {
            Ok(id) => query = query.filter(tasks::id.eq(Id(id.0))),
            Err(_) => query = query.filter(lowered.like(pattern).escape('!')),
        }
    }
    if let Some(from) = filter.from {
        query = query.filter(tasks::created_at.ge(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(tasks::created_at.lt(to));
    }
    if let Some(before) = filter.before {
        query = query.filter(behind!(before, tasks::created_at, tasks::id));
    }
    read_rows(query.load(conn)?)
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn coalesce(
        time: diesel::sql_types::Nullable<diesel::sql_types::Timestamp>,
        other: diesel::sql_types::Nullable<diesel::sql_types::Timestamp>,
    ) -> diesel::sql_types::Nullable<diesel::sql_types::Timestamp>;

    fn lower(
        text: diesel::sql_types::Nullable<diesel::sql_types::Text>,
    ) -> diesel::sql_types::Nullable<diesel::sql_types::Text>;
}

/// `%` and `_` stand for themselves in what a user looks for.
fn escape_like(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(c);
        escaped
    })
}

fn read_rows(rows: Vec<TaskRow>) -> DbResult<Vec<Task>> {
    rows.into_iter().map(Task::try_from).collect()
}

/// Which tasks of `owner` changed later than the one of `since`, or at the same time and have a greater
/// id; oldest change first, with those that were deleted.
pub fn changed_since(
    conn: &mut DbConnection,
    owner: UserId,
    since: Cursor,
    limit: i64,
) -> DbResult<Vec<(TaskId, NaiveDateTime)>> {
    let changed: Vec<(Id, NaiveDateTime)> = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        // Says nothing that the next condition does not, but tells a database where to begin.
        .filter(tasks::changed_at.ge(since.time))
        .filter(tasks::changed_at.gt(since.time).or(tasks::id.gt(Id(since.id))))
        .order((tasks::changed_at, tasks::id))
        .limit(limit)
        .select((tasks::id, tasks::changed_at))
        .load(conn)?;
    Ok(changed.into_iter().map(|(id, changed_at)| (TaskId(id.0), changed_at)).collect())
}

/// The first `limit` queued tasks of a kind, in order.
pub fn first_in_queue(
    conn: &mut DbConnection,
    kind: TaskKind,
    limit: u64,
) -> DbResult<Vec<TaskId>> {
    let ids: Vec<Id> = tasks::table
        .filter(tasks::kind.eq(kind.as_str()))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .order((tasks::queued_at, tasks::id))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(tasks::id)
        .load(conn)?;
    Ok(ids.into_iter().map(|id| TaskId(id.0)).collect())
}

/// The place of a queued task in its queue, from 1; none beyond `limit`.
pub fn queue_position(conn: &mut DbConnection, task: &Task, limit: u64) -> DbResult<Option<u64>> {
    let queued_at = task.queued_at.unwrap_or(task.created_at);
    let ahead = tasks::table
        .filter(tasks::kind.eq(task.kind().as_str()))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(
            tasks::queued_at
                .lt(queued_at)
                .or(tasks::queued_at.eq(queued_at).and(tasks::id.lt(Id(task.id.0)))),
        )
        // Any of them do: an order would be made before they are counted.
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(tasks::id);
    let ahead: i64 = count_of(ahead).get_result(conn)?;
    let position = u64::try_from(ahead).map_err(DbError::corrupt)? + 1;
    Ok((position <= limit).then_some(position))
}

/// Puts the task in the queue by compare-and-swap: `queued`, with a new dispatch number that is due
/// at `due_at`. False where its state does not allow it. The outbox row is the caller's.
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
            .set((
                tasks::state.eq(TaskState::Queued.as_str()),
                tasks::dispatch.eq(signed(task.dispatch + 1)),
                tasks::failures.eq(signed(change.failures)),
                tasks::alone.eq(change.alone),
                tasks::checkpoint.eq(change.checkpoint.as_ref().map(to_json).transpose()?),
                tasks::progress.eq(change.progress.as_ref().map(to_json).transpose()?),
                tasks::error.eq(None::<String>),
                tasks::worker.eq(None::<Id>),
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

/// What changes with a task that is put in the queue.
#[derive(Debug, Clone, Default)]
pub struct Enqueue {
    pub failures: u32,
    pub alone: bool,
    pub checkpoint: Option<Value>,
    pub progress: Option<Progress>,
}

/// Gives tasks to a worker that the caller has locked and found `queued`, and puts what changes into
/// `tasks` too.
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
    // Found by their ids alone: if their state were asked for too, SQLite would look through all that
    // are queued.
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

/// Renews the lease of an attempt that holds the fence, and notes how far it is.
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

/// Moves the task to a state in which nobody works on it, by compare-and-swap. False where its
/// state does not allow it.
pub fn end(
    conn: &mut DbConnection,
    task: &Task,
    next: TaskState,
    now: NaiveDateTime,
) -> DbResult<bool> {
    if !task.state.can_become(next) {
        return Ok(false);
    }
    let finished_at = (next != TaskState::Stopping).then_some(now);
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
    Ok(updated == 1)
}

/// Notes why a task failed, and how often.
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

/// Notes how far a task is.
pub fn set_progress(conn: &mut DbConnection, id: TaskId, progress: &Progress) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set(tasks::progress.eq(to_json(progress)?))
        .execute(conn)?;
    Ok(())
}

/// Forgets where a task was, since what it wrote is rolled back.
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

/// The newest task with the same content and parameters that can go on: `killed`, or `failed`
/// with a checkpoint.
pub fn find_resumable(
    conn: &mut DbConnection,
    owner: UserId,
    identity: &str,
) -> DbResult<Option<Task>> {
    let killed = tasks::state.eq(TaskState::Killed.as_str());
    let failed = tasks::state.eq(TaskState::Failed.as_str()).and(tasks::checkpoint.is_not_null());
    tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        .filter(tasks::identity.eq(identity))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::files_removed.eq(false))
        .filter(killed.or(failed))
        .order(tasks::id.desc())
        .select(TaskRow::as_select())
        .first(conn)
        .optional()?
        .map(Task::try_from)
        .transpose()
}

/// Removes a task that never was: its upload was cut, or another task goes on instead.
pub fn remove_initializing(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    let removed = diesel::delete(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq(TaskState::Initializing.as_str()))
        .execute(conn)?;
    Ok(removed == 1)
}

/// Hides an ended task from everybody; a sweep removes it. False where it has not ended.
pub fn mark_deleted(conn: &mut DbConnection, id: TaskId, now: NaiveDateTime) -> DbResult<bool> {
    let ended = TaskState::ALL.into_iter().filter(|state| state.is_ended());
    let marked = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::state.eq_any(names(ended)))
        .set((tasks::deleted.eq(true), tasks::changed_at.eq(now)))
        .execute(conn)?;
    Ok(marked == 1)
}

/// At most `limit` tasks in `state` whose lease ended before `now`.
pub fn with_expired_lease(
    conn: &mut DbConnection,
    state: TaskState,
    now: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<Task>> {
    let rows = tasks::table
        .filter(tasks::state.eq(state.as_str()))
        .filter(tasks::leased_until.lt(now))
        .order(tasks::id)
        .limit(limit)
        .select(TaskRow::as_select())
        .load(conn)?;
    read_rows(rows)
}

/// Ends all leases: at the start of the only process there is, nobody else holds one.
pub fn expire_all_leases(conn: &mut DbConnection, expired: NaiveDateTime) -> DbResult<usize> {
    let leased = [TaskState::Processing, TaskState::Initializing];
    let updated = diesel::update(tasks::table)
        .filter(tasks::state.eq_any(names(leased.into_iter())))
        .set(tasks::leased_until.eq(expired))
        .execute(conn)?;
    Ok(updated)
}

/// At most `limit` tasks in `state`, oldest first.
pub fn in_state(conn: &mut DbConnection, state: TaskState, limit: i64) -> DbResult<Vec<Task>> {
    let rows = tasks::table
        .filter(tasks::state.eq(state.as_str()))
        .order(tasks::id)
        .limit(limit)
        .select(TaskRow::as_select())
        .load(conn)?;
    read_rows(rows)
}
