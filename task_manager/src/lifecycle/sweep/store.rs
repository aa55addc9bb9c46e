//! SQL on the tasks of files. No function opens a transaction.

use std::collections::HashMap;

use common::storage::{ObjectKey, OutputPart};
use common::task::{TaskId, TaskState};
use diesel::prelude::*;

use crate::db::schema::tasks;
use crate::db::{DbConnection, DbResult, Id, on_either, one_of};
use crate::lifecycle::resumable::store as uploads;
use crate::tasks::store::signed;

/// Those of the files that no task needs: neither the input of an existing task, nor an accepted
/// result, nor the output of a running attempt.
pub fn unknown_files(conn: &mut DbConnection, keys: &[ObjectKey]) -> DbResult<Vec<ObjectKey>> {
    let known = known_tasks(conn, keys)?;
    let inputs: Vec<TaskId> = keys.iter().filter_map(|key| key.input()).collect();
    let uploads = uploads::known(conn, &inputs)?;
    let is_unknown = |key: &&ObjectKey| match key {
        // A part of an upload has no task.
        ObjectKey::Input(id) if uploads.contains(id) => false,
        ObjectKey::Input(id) => known.get(id).is_none_or(|task| task.files_removed),
        ObjectKey::Output { task_id, attempt, .. } => {
            known.get(task_id).is_none_or(|task| !task.needs_output(*attempt))
        }
    };
    Ok(keys.iter().filter(is_unknown).copied().collect())
}

/// Whether a task needs this output.
pub fn needs_output(conn: &mut DbConnection, id: TaskId, attempt: u32) -> DbResult<bool> {
    let part = OutputPart::Result;
    Ok(unknown_files(conn, &[ObjectKey::Output { task_id: id, attempt, part }])?.is_empty())
}

/// The columns that decide which files a task needs.
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
    fn needs_output(&self, attempt: u32) -> bool {
        let attempt = signed(attempt);
        let is_accepted = self.output_attempt == Some(attempt) && !self.files_removed;
        let is_running = self.attempt == attempt && self.state == TaskState::Processing.as_str();
        // A task in a state of another version may be running.
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
        // Not `= false`: databases would use the index on deleted tasks.
        .filter(tasks::deleted.ne(true))
        .select(KnownTask::as_select())
        .load(conn))?;
    Ok(found.into_iter().map(|task| (TaskId(task.id.0), task)).collect())
}
