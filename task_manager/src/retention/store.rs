//! SQL on what is to be removed. No function opens a transaction.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use common::storage::{ObjectKey, OutputPart};
use common::task::{TaskId, TaskState};
use diesel::dsl::{exists, not};
use diesel::prelude::*;

use crate::db::schema::{file_data, outbox, rejected_rows, task_attempts, tasks, workers};
use crate::db::{DbConnection, DbResult, Id, known_kind, on_either, one_of};
use crate::tasks::store::{ids, signed};

fn ended() -> Vec<&'static str> {
    TaskState::ALL.into_iter().filter(|state| state.is_ended()).map(TaskState::as_str).collect()
}

/// At most `limit` tasks that were deleted, of kinds that this version knows, from behind `after`: what the
/// others made it does not know either.
pub fn deleted(
    conn: &mut DbConnection,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let mut query = tasks::table
        .filter(tasks::deleted.eq(true))
        .filter(known_kind(tasks::kind))
        .order(tasks::id)
        .limit(limit)
        .select(tasks::id)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    Ok(ids(query.load(conn)?))
}

/// Removes a task that was deleted, with its history.
pub fn remove_deleted(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    let removed = diesel::delete(tasks::table.find(Id(id.0)).filter(tasks::deleted.eq(true)));
    if removed.execute(conn)? == 1 {
        remove_history(conn, id)?;
    }
    Ok(())
}

fn remove_history(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    diesel::delete(task_attempts::table.filter(task_attempts::task_id.eq(Id(id.0))))
        .execute(conn)?;
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
        .filter(known_kind(tasks::kind))
        .limit(limit)
        .select(tasks::id)
        .load(conn)?;
    Ok(ids(found))
}

/// Notes that the files and attempts of a task that ended before `before` are removed; false where it has
/// gone on meanwhile.
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

/// Those of the files that no task needs: neither the input of a living task, nor an accepted result,
/// nor an output of an attempt that runs.
pub fn unknown_files(conn: &mut DbConnection, keys: &[ObjectKey]) -> DbResult<Vec<ObjectKey>> {
    let known = known_tasks(conn, keys)?;
    let is_unknown = |key: &&ObjectKey| match key {
        ObjectKey::Input(id) => known.get(id).is_none_or(|task| task.files_removed),
        ObjectKey::Output { task_id, attempt, .. } => {
            known.get(task_id).is_none_or(|task| !task.wants_output(*attempt))
        }
    };
    Ok(keys.iter().filter(is_unknown).copied().collect())
}

/// Whether a task needs this output.
pub fn wants_output(conn: &mut DbConnection, id: TaskId, attempt: u32) -> DbResult<bool> {
    let part = OutputPart::Result;
    Ok(unknown_files(conn, &[ObjectKey::Output { task_id: id, attempt, part }])?.is_empty())
}

/// What says which files a task needs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tasks)]
struct KnownTask {
    id: Id,
    state: String,
    attempt: i32,
    output_attempt: Option<i32>,
    files_removed: bool,
}

impl KnownTask {
    fn wants_output(&self, attempt: u32) -> bool {
        let attempt = signed(attempt);
        let is_accepted = self.output_attempt == Some(attempt) && !self.files_removed;
        let is_running = self.attempt == attempt && self.state == TaskState::Processing.as_str();
        // In a state of another version it may run.
        is_accepted || is_running || self.state.parse::<TaskState>().is_err()
    }
}

fn known_tasks(
    conn: &mut DbConnection,
    keys: &[ObjectKey],
) -> DbResult<HashMap<TaskId, KnownTask>> {
    let mut ids: Vec<TaskId> = keys.iter().map(|key| key.task_id()).collect();
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<Id> = ids.into_iter().map(|id| Id(id.0)).collect();
    let found: Vec<KnownTask> = on_either!(conn, |conn| tasks::table
        .filter(one_of(tasks::id, &ids))
        // Not `= false`: databases would take the index of the deleted ones.
        .filter(tasks::deleted.ne(true))
        .select(KnownTask::as_select())
        .load(conn))?;
    Ok(found.into_iter().map(|task| (TaskId(task.id.0), task)).collect())
}

/// Forgets workers that were last seen before `before`.
pub fn forget_workers(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(workers::table.filter(workers::seen_at.lt(before))).execute(conn)?;
    Ok(())
}
