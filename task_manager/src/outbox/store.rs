//! SQL on `outbox`. No function opens a transaction.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::{TaskId, TaskKind, TaskState};
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;

use crate::db::schema::{outbox, tasks};
use crate::db::{DbConnection, DbError, DbResult, Id, insert_records, lock_due_outbox};
use crate::tasks::store::signed;

/// Has the task put in the queue at `due_at`; takes the place of an earlier row.
pub fn append(
    conn: &mut DbConnection,
    kind: TaskKind,
    message: Message,
    due_at: NaiveDateTime,
) -> DbResult<()> {
    remove(conn, message.task_id)?;
    diesel::insert_into(outbox::table)
        .values((
            outbox::task_id.eq(Id(message.task_id.0)),
            outbox::kind.eq(kind.as_str()),
            outbox::dispatch.eq(signed(message.dispatch)),
            outbox::due_at.eq(due_at),
        ))
        .execute(conn)?;
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
struct NewRow {
    task_id: Id,
    kind: &'static str,
    dispatch: i32,
    due_at: NaiveDateTime,
}

/// Has tasks put in the queue at `due_at` that were never in it.
pub fn append_new(
    conn: &mut DbConnection,
    messages: &[(TaskKind, Message)],
    due_at: NaiveDateTime,
) -> DbResult<()> {
    let row = |(kind, message): &(TaskKind, Message)| NewRow {
        task_id: Id(message.task_id.0),
        kind: kind.as_str(),
        dispatch: signed(message.dispatch),
        due_at,
    };
    let rows: Vec<NewRow> = messages.iter().map(row).collect();
    insert_records!(conn, outbox::table, &rows)?;
    Ok(())
}

/// The task is not to be put in the queue any more.
pub fn remove(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    Ok(())
}

/// Takes at most `limit` rows that are due for this relay until `locked_until`.
pub fn lease_due(
    conn: &mut DbConnection,
    now: NaiveDateTime,
    locked_until: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<(TaskKind, Message)>> {
    let ids = lock_due_outbox(conn, now, limit)?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    diesel::update(outbox::table.filter(outbox::task_id.eq_any(ids.clone())))
        .set(outbox::locked_until.eq(locked_until))
        .execute(conn)?;
    let rows: Vec<(Id, String, i32)> = outbox::table
        .filter(outbox::task_id.eq_any(ids))
        .order((outbox::due_at, outbox::task_id))
        .select((outbox::task_id, outbox::kind, outbox::dispatch))
        .load(conn)?;
    let message = |(id, kind, dispatch): (Id, String, i32)| {
        let dispatch = u32::try_from(dispatch).map_err(DbError::corrupt)?;
        let kind = kind.parse().map_err(DbError::corrupt)?;
        Ok((kind, Message { task_id: TaskId(id.0), dispatch }))
    };
    rows.into_iter().map(message).collect()
}

/// The queue has these messages.
pub fn confirmed(
    conn: &mut DbConnection,
    messages: &[Message],
    now: NaiveDateTime,
) -> DbResult<()> {
    // Most are the first message of their task, so that two statements do for many.
    let mut by_dispatch: BTreeMap<u32, Vec<Id>> = BTreeMap::new();
    for message in messages {
        by_dispatch.entry(message.dispatch).or_default().push(Id(message.task_id.0));
    }
    for (dispatch, mut ids) in by_dispatch {
        // In the order of the ids, as everybody locks them.
        ids.sort_unstable_by_key(|id| id.0);
        let dispatch = signed(dispatch);
        diesel::delete(outbox::table.filter(outbox::task_id.eq_any(&ids)))
            .filter(outbox::dispatch.eq(dispatch))
            .execute(conn)?;
        diesel::update(tasks::table.filter(tasks::id.eq_any(&ids)))
            .filter(tasks::dispatch.eq(dispatch))
            .set(tasks::dispatched_at.eq(now))
            .execute(conn)?;
    }
    Ok(())
}

/// The queue did not take these messages; they are tried again at `retry_at`.
pub fn refused(
    conn: &mut DbConnection,
    messages: &[Message],
    retry_at: NaiveDateTime,
) -> DbResult<()> {
    let ids: Vec<Id> = messages.iter().map(|message| Id(message.task_id.0)).collect();
    diesel::update(outbox::table.filter(outbox::task_id.eq_any(ids)))
        .set(outbox::locked_until.eq(retry_at))
        .execute(conn)?;
    Ok(())
}

/// When the next row is due.
pub fn next_due(conn: &mut DbConnection) -> DbResult<Option<NaiveDateTime>> {
    let due = outbox::table.order(outbox::due_at).select(outbox::due_at).first(conn).optional()?;
    Ok(due)
}

/// A queued task that no outbox row will bring to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub id: TaskId,
    pub dispatch: u32,
}

/// At most `limit` queued tasks of `kind` without an outbox row, dispatched before `before`.
pub fn waiting_since(
    conn: &mut DbConnection,
    kind: TaskKind,
    before: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<Waiting>> {
    let in_outbox = outbox::table.filter(outbox::task_id.eq(tasks::id)).select(outbox::task_id);
    let rows: Vec<(Id, i32)> = tasks::table
        .filter(tasks::kind.eq(kind.as_str()))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(tasks::dispatched_at.lt(before))
        .filter(not(exists(in_outbox)))
        .order(tasks::dispatched_at)
        .limit(limit)
        .select((tasks::id, tasks::dispatch))
        .load(conn)?;
    waiting(rows)
}

/// At most `limit` queued tasks without an outbox row, after the task `after` in order of ids.
pub fn without_row(
    conn: &mut DbConnection,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<(TaskKind, Waiting)>> {
    let in_outbox = outbox::table.filter(outbox::task_id.eq(tasks::id)).select(outbox::task_id);
    let mut query = tasks::table
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(not(exists(in_outbox)))
        .order(tasks::id)
        .limit(limit)
        .select((tasks::id, tasks::dispatch, tasks::kind))
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    let rows: Vec<(Id, i32, String)> = query.load(conn)?;
    rows.into_iter()
        .map(|(id, dispatch, kind)| {
            let dispatch = u32::try_from(dispatch).map_err(DbError::corrupt)?;
            Ok((kind.parse().map_err(DbError::corrupt)?, Waiting { id: TaskId(id.0), dispatch }))
        })
        .collect()
}

fn waiting(rows: Vec<(Id, i32)>) -> DbResult<Vec<Waiting>> {
    rows.into_iter()
        .map(|(id, dispatch)| {
            let dispatch = u32::try_from(dispatch).map_err(DbError::corrupt)?;
            Ok(Waiting { id: TaskId(id.0), dispatch })
        })
        .collect()
}

/// When the latest message of `kind` that a worker claimed was put in the queue.
pub fn latest_claimed(conn: &mut DbConnection, kind: TaskKind) -> DbResult<Option<NaiveDateTime>> {
    let mut latest = None;
    // One look at the end of the index for each state that a claimed task can be in.
    for state in [TaskState::Processing, TaskState::Processed, TaskState::Failed] {
        let found: Option<NaiveDateTime> = tasks::table
            .filter(tasks::kind.eq(kind.as_str()))
            .filter(tasks::state.eq(state.as_str()))
            .select(max(tasks::dispatched_at))
            .first(conn)?;
        latest = latest.max(found);
    }
    Ok(latest)
}

/// Has a queued task dispatched once more, by compare-and-swap on its dispatch number.
pub fn dispatch_again(
    conn: &mut DbConnection,
    kind: TaskKind,
    waiting: Waiting,
    now: NaiveDateTime,
) -> DbResult<()> {
    let dispatch = waiting.dispatch + 1;
    let raised = diesel::update(tasks::table.find(Id(waiting.id.0)))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(tasks::dispatch.eq(signed(waiting.dispatch)))
        .set(tasks::dispatch.eq(signed(dispatch)))
        .execute(conn)?;
    if raised == 1 {
        append(conn, kind, Message { task_id: waiting.id, dispatch }, now)?;
    }
    Ok(())
}
