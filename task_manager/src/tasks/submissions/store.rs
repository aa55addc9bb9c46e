//! SQL on `tasks` that begin in the queue. No function opens a transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::db::schema::tasks;
use crate::db::{DbConnection, DbResult, Id, insert_records};
use crate::tasks::Task;
use crate::tasks::store::{signed, to_json};

#[derive(Insertable)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
struct NewRow {
    id: Id,
    owner: Id,
    kind: &'static str,
    state: &'static str,
    spec: String,
    dispatch: i32,
    created_at: NaiveDateTime,
    changed_at: NaiveDateTime,
    queued_at: Option<NaiveDateTime>,
}

/// Inserts tasks as they are; they have no input, and no attempt yet.
pub(super) fn insert_queued(conn: &mut DbConnection, tasks: &[Task]) -> DbResult<()> {
    let row = |task: &Task| {
        Ok(NewRow {
            id: Id(task.id.0),
            owner: Id(task.owner.0),
            kind: task.kind().as_str(),
            state: task.state.as_str(),
            spec: to_json(&task.spec)?,
            dispatch: signed(task.dispatch),
            created_at: task.created_at,
            changed_at: task.changed_at,
            queued_at: task.queued_at,
        })
    };
    let rows = tasks.iter().map(row).collect::<DbResult<Vec<_>>>()?;
    insert_records!(conn, tasks::table, &rows)?;
    Ok(())
}
