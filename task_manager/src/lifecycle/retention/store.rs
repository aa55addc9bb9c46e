//! SQL on expired tasks. No function opens a transaction.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState};
use diesel::dsl::not;
use diesel::prelude::*;

use crate::db::schema::{task_attempts, tasks};
use crate::db::{DbConnection, DbResult, Id, known_kind};
use crate::kinds;
use crate::lifecycle::purge::store::remove_history;
use crate::tasks::store::ids;

fn ended() -> Vec<&'static str> {
    TaskState::ALL.into_iter().filter(|state| state.is_ended()).map(TaskState::as_str).collect()
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
        .filter(known_kind(tasks::kind))
        .limit(limit)
        .select(tasks::id)
        .load(conn)?;
    Ok(ids(found))
}

/// Marks the files and attempts of a task that ended before `before` as removed; false if it was
/// resumed in the meantime.
pub fn mark_files_removed(
    conn: &mut DbConnection,
    id: TaskId,
    before: NaiveDateTime,
    now: NaiveDateTime,
) -> DbResult<bool> {
    let marked = diesel::update(tasks::table.find(Id(id.0)))
        .filter(tasks::files_removed.eq(false))
        .filter(tasks::state.eq_any(ended()))
        .filter(tasks::finished_at.lt(before))
        .set((tasks::files_removed.eq(true), tasks::changed_at.eq(now)))
        .execute(conn)?;
    if marked == 1 {
        diesel::delete(task_attempts::table.filter(task_attempts::task_id.eq(Id(id.0))))
            .execute(conn)?;
    }
    Ok(marked == 1)
}

/// Removes at most `limit` tasks without files that ended before `before`; returns how many. Tasks
/// with other rows in the database stay: their owner keeps the rows until the task is deleted.
pub fn remove_tasks_ended_before(
    conn: &mut DbConnection,
    before: NaiveDateTime,
    limit: i64,
) -> DbResult<usize> {
    let found: Vec<Id> = tasks::table
        .filter(tasks::files_removed.eq(true))
        .filter(tasks::finished_at.lt(before))
        .filter(not(kinds::store::keeps_task()))
        .filter(tasks::state.eq_any(ended()))
        .filter(known_kind(tasks::kind))
        .limit(limit)
        .select(tasks::id)
        .load(conn)?;
    let mut removed = 0;
    for id in found {
        let past = tasks::table
            .find(id)
            .filter(tasks::files_removed.eq(true))
            .filter(tasks::finished_at.lt(before))
            .filter(tasks::state.eq_any(ended()));
        if diesel::delete(past).execute(conn)? == 1 {
            remove_history(conn, TaskId(id.0))?;
            removed += 1;
        }
    }
    Ok(removed)
}
