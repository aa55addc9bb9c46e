//! SQL on what is to be removed. No function opens a transaction.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState};
use diesel::dsl::{exists, not};
use diesel::prelude::*;

use crate::db::schema::{file_data, outbox, rejected_rows, task_attempts, tasks, workers};
use crate::db::{DbConnection, DbResult, Id};
use crate::tasks::store::signed;

fn ids(ids: Vec<Id>) -> Vec<TaskId> {
    ids.into_iter().map(|id| TaskId(id.0)).collect()
}

fn ended() -> Vec<&'static str> {
    TaskState::ALL.into_iter().filter(|state| state.is_ended()).map(TaskState::as_str).collect()
}

/// At most `limit` tasks that were deleted.
pub fn deleted(conn: &mut DbConnection, limit: i64) -> DbResult<Vec<TaskId>> {
    let found =
        tasks::table.filter(tasks::deleted.eq(true)).limit(limit).select(tasks::id).load(conn)?;
    Ok(ids(found))
}

/// Removes a task with its history.
pub fn remove(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    diesel::delete(task_attempts::table.filter(task_attempts::task_id.eq(Id(id.0))))
        .execute(conn)?;
    diesel::delete(tasks::table.find(Id(id.0))).execute(conn)?;
    Ok(())
}

/// At most `limit` tasks that ended before `before` and still have files.
pub fn with_files_ended_before(
    conn: &mut DbConnection,
    before: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let found = tasks::table
        .filter(tasks::files_removed.eq(false))
        .filter(tasks::finished_at.lt(before))
        .filter(tasks::state.eq_any(ended()))
        .limit(limit)
        .select(tasks::id)
        .load(conn)?;
    Ok(ids(found))
}

/// Notes that the task's files and attempts are removed; false where it has gone on meanwhile.
pub fn mark_files_removed(
    conn: &mut DbConnection,
    id: TaskId,
    now: NaiveDateTime,
) -> DbResult<bool> {
    let marked = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::state.eq_any(ended()))
        .set((tasks::files_removed.eq(true), tasks::changed_at.eq(now)))
        .execute(conn)?;
    if marked == 1 {
        diesel::delete(task_attempts::table.filter(task_attempts::task_id.eq(Id(id.0))))
            .execute(conn)?;
    }
    Ok(marked == 1)
}

/// Removes at most `limit` tasks without files that ended before `before`; answers how many. Those
/// with rows in the database stay: the rows are their owner's until the task is deleted.
pub fn remove_tasks_ended_before(
    conn: &mut DbConnection,
    before: NaiveDateTime,
    limit: i64,
) -> DbResult<usize> {
    let found: Vec<Id> = tasks::table
        .filter(tasks::files_removed.eq(true))
        .filter(tasks::finished_at.lt(before))
        .filter(not(exists(file_data::table.filter(file_data::task_id.eq(tasks::id)))))
        .filter(not(exists(rejected_rows::table.filter(rejected_rows::task_id.eq(tasks::id)))))
        .filter(tasks::state.eq_any(ended()))
        .limit(limit)
        .select(tasks::id)
        .load(conn)?;
    for id in &found {
        remove(conn, TaskId(id.0))?;
    }
    Ok(found.len())
}

/// Whether a task needs this input.
pub fn wants_input(conn: &mut DbConnection, id: TaskId) -> DbResult<bool> {
    let living = tasks::table
        .find(Id(id.0))
        .filter(tasks::deleted.eq(false))
        .filter(tasks::files_removed.eq(false));
    Ok(diesel::select(exists(living)).get_result(conn)?)
}

/// Whether this output is an accepted result, or of an attempt that runs.
pub fn wants_output(conn: &mut DbConnection, id: TaskId, attempt: u32) -> DbResult<bool> {
    let attempt = signed(attempt);
    let accepted = tasks::output_attempt.eq(attempt).and(tasks::files_removed.eq(false));
    let running = tasks::attempt.eq(attempt).and(tasks::state.eq(TaskState::Processing.as_str()));
    let wanted = tasks::table
        .find(Id(id.0))
        .filter(tasks::deleted.eq(false))
        .filter(accepted.assume_not_null().or(running));
    Ok(diesel::select(exists(wanted)).get_result(conn)?)
}

/// Forgets workers that were last seen before `before`.
pub fn forget_workers(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(workers::table.filter(workers::seen_at.lt(before))).execute(conn)?;
    Ok(())
}
