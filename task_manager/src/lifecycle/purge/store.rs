//! SQL on deleted tasks. No function opens a transaction.

use common::task::{TaskId, TaskKind};
use diesel::prelude::*;

use crate::db::schema::{outbox, task_attempts, tasks};
use crate::db::{DbConnection, DbResult, Id, known_kind};

/// At most `limit` deleted tasks after `after`, of kinds that this version knows: it cannot know
/// the data of others.
pub fn deleted(
    conn: &mut DbConnection,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<(TaskId, TaskKind)>> {
    let mut query = tasks::table
        .filter(tasks::deleted.eq(true))
        .filter(known_kind(tasks::kind))
        .order(tasks::id)
        .limit(limit)
        .select((tasks::id, tasks::kind))
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    let rows: Vec<(Id, String)> = query.load(conn)?;
    let parse = |(id, kind): (Id, String)| Some((TaskId(id.0), kind.parse().ok()?));
    Ok(rows.into_iter().filter_map(parse).collect())
}

/// Removes a deleted task and its history.
pub fn remove_deleted(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    let removed = diesel::delete(tasks::table.find(Id(id.0)).filter(tasks::deleted.eq(true)));
    if removed.execute(conn)? == 1 {
        remove_history(conn, id)?;
    }
    Ok(())
}

/// Removes the outbox row and the attempts of a task.
pub fn remove_history(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    diesel::delete(task_attempts::table.filter(task_attempts::task_id.eq(Id(id.0))))
        .execute(conn)?;
    Ok(())
}
