//! SQL on `tasks` that are inserted as `queued`. No function opens a transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use crate::db::schema::tasks;
use crate::db::{DbConnection, DbResult, Id, insert_records, json_time};
use crate::tasks::Task;
use crate::tasks::store::{signed, to_json};

/// MySQL's statement for several records.
const FROM_JSON: &str = "\
    INSERT INTO tasks (id, owner, kind, state, spec, dispatch, created_at, changed_at, queued_at, \
                       dispatched_at) \
    SELECT UNHEX(queued.id), UNHEX(queued.owner), queued.kind, queued.state, queued.spec, \
           queued.dispatch, queued.queued_at, queued.queued_at, queued.queued_at, queued.queued_at \
    FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
        id CHAR(32) PATH '$.id', \
        owner CHAR(32) PATH '$.owner', \
        kind VARCHAR(32) PATH '$.kind', \
        state VARCHAR(16) PATH '$.state', \
        spec MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$.spec', \
        dispatch INT PATH '$.dispatch', \
        queued_at CHAR(26) PATH '$.queued_at')) AS queued";

#[derive(Insertable, Serialize)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
struct NewRow {
    id: Id,
    owner: Id,
    kind: &'static str,
    state: &'static str,
    spec: String,
    dispatch: i32,
    // All times are the same: MySQL gets only the last.
    #[serde(skip)]
    created_at: NaiveDateTime,
    #[serde(skip)]
    changed_at: NaiveDateTime,
    #[serde(skip)]
    dispatched_at: NaiveDateTime,
    #[serde(serialize_with = "json_time::serialize")]
    queued_at: NaiveDateTime,
}

/// Inserts tasks that are queued and due `now`; they have no input, and no attempt yet.
pub(super) fn insert_queued(
    conn: &mut DbConnection,
    tasks: &[Task],
    now: NaiveDateTime,
) -> DbResult<()> {
    let row = |task: &Task| {
        Ok(NewRow {
            id: Id(task.id.0),
            owner: Id(task.owner.0),
            kind: task.kind().as_str(),
            state: task.state.as_str(),
            spec: to_json(&task.spec)?,
            dispatch: signed(task.dispatch),
            created_at: now,
            changed_at: now,
            dispatched_at: now,
            queued_at: now,
        })
    };
    let rows = tasks.iter().map(row).collect::<DbResult<Vec<_>>>()?;
    insert_records!(conn, tasks::table, &rows, FROM_JSON)?;
    Ok(())
}
