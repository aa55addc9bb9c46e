//! SQL on `outbox`. No function opens a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::{TaskId, TaskKind, TaskState};
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use serde::Serialize;
use tracing::warn;

use super::{Dispatch, RESERVATION};
use crate::db::schema::{outbox, tasks};
use crate::db::{
    DbConnection, DbResult, Id, execute_cached, insert_records, json_time, known_kind,
    locked_and_skipped, one_of,
};
use crate::tasks::store::{self, signed};

/// The dispatch time of a task is set to its due time in advance, and corrected only if the queue
/// confirmed the message later than this: so most confirms need no update of the task.
pub const LATE: Duration = Duration::from_secs(5);

/// The most rows that a statement names.
const CHUNK: usize = 512;

/// MySQL's statement for several records.
const FROM_JSON: &str = "\
    INSERT INTO outbox (task_id, kind, dispatch, due_at, locked_until) \
    SELECT UNHEX(due.task_id), due.kind, due.dispatch, due.due_at, due.locked_until \
    FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
        task_id CHAR(32) PATH '$.task_id', \
        kind VARCHAR(32) PATH '$.kind', \
        dispatch INT PATH '$.dispatch', \
        due_at CHAR(26) PATH '$.due_at', \
        locked_until CHAR(26) PATH '$.locked_until')) AS due";

#[derive(Insertable, Serialize)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
struct NewRow {
    task_id: Id,
    kind: &'static str,
    dispatch: i32,
    #[serde(serialize_with = "json_time::serialize")]
    due_at: NaiveDateTime,
    #[serde(serialize_with = "json_time::optional", skip_serializing_if = "Option::is_none")]
    locked_until: Option<NaiveDateTime>,
}

/// Adds dispatches; they replace earlier rows of their tasks.
pub fn append(conn: &mut DbConnection, dispatches: &[Dispatch]) -> DbResult<()> {
    let ids: Vec<Id> = dispatches.iter().map(|due| Id(due.message.task_id.0)).collect();
    if !ids.is_empty() {
        diesel::delete(outbox::table.filter(one_of(outbox::task_id, &ids))).execute(conn)?;
    }
    append_new(conn, dispatches)
}

/// Adds dispatches of tasks that have no row.
pub fn append_new(conn: &mut DbConnection, dispatches: &[Dispatch]) -> DbResult<()> {
    insert(conn, dispatches, None)
}

/// The same, reserved for the caller, which publishes them after the commit
/// (`RelaySignal::publish_directly`). Relays skip reserved rows.
pub fn append_reserved(
    conn: &mut DbConnection,
    dispatches: &[Dispatch],
    now: NaiveDateTime,
) -> DbResult<()> {
    insert(conn, dispatches, Some(now + RESERVATION))
}

fn insert(
    conn: &mut DbConnection,
    dispatches: &[Dispatch],
    locked_until: Option<NaiveDateTime>,
) -> DbResult<()> {
    let row = |due: &Dispatch| NewRow {
        task_id: Id(due.message.task_id.0),
        kind: due.kind.as_str(),
        dispatch: signed(due.message.dispatch),
        due_at: due.due_at,
        locked_until,
    };
    let rows: Vec<NewRow> = dispatches.iter().map(row).collect();
    if !rows.is_empty() {
        insert_records!(conn, outbox::table, &rows, FROM_JSON)?;
    }
    Ok(())
}

/// Removes the dispatch of a task.
pub fn remove(conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
    diesel::delete(outbox::table.find(Id(id.0))).execute(conn)?;
    Ok(())
}

/// Leases at most `limit` rows that are due between `from` and `now`, for this relay until
/// `locked_until`; earliest first. Skips kinds that this version does not know.
pub fn lease_due(
    conn: &mut DbConnection,
    from: NaiveDateTime,
    now: NaiveDateTime,
    locked_until: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<Dispatch>> {
    let rows = locked_and_skipped!(
        conn,
        outbox::table
            .filter(outbox::due_at.between(from, now))
            .filter(known_kind(outbox::kind))
            .filter(outbox::locked_until.is_null().or(outbox::locked_until.lt(now)))
            .order((outbox::due_at, outbox::task_id))
            .limit(limit)
            .select((outbox::task_id, outbox::kind, outbox::dispatch, outbox::due_at)),
        (Id, String, i32, NaiveDateTime)
    )?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Id> = rows.iter().map(|(id, ..)| *id).collect();
    execute_cached!(
        conn,
        diesel::update(outbox::table.filter(one_of(outbox::task_id, &ids)))
            .set(outbox::locked_until.eq(locked_until))
    )?;
    let mut due = Vec::with_capacity(rows.len());
    for (id, kind, dispatch, due_at) in rows {
        match (kind.parse(), u32::try_from(dispatch)) {
            (Ok(kind), Ok(dispatch)) => {
                let message = Message { task_id: TaskId(id.0), dispatch };
                due.push(Dispatch { kind, message, due_at });
            }
            _ => {
                // Without a row, the task is dispatched again if its state requires it.
                warn!(task_id = %id.0, kind, dispatch, "removed a broken row of the outbox");
                diesel::delete(outbox::table.find(id)).execute(conn)?;
            }
        }
    }
    Ok(due)
}

/// Records that the queue confirmed these messages.
pub fn confirmed(
    conn: &mut DbConnection,
    dispatches: &[Dispatch],
    now: NaiveDateTime,
) -> DbResult<()> {
    // Most are the first message of their task, so few statements suffice.
    let mut by_number: BTreeMap<u32, Vec<&Dispatch>> = BTreeMap::new();
    for due in dispatches {
        by_number.entry(due.message.dispatch).or_default().push(due);
    }
    for (number, mut group) in by_number {
        // In the order of the ids, like every other lock.
        group.sort_unstable_by_key(|due| due.message.task_id);
        let id = |due: &&Dispatch| Id(due.message.task_id.0);
        let ids: Vec<Id> = group.iter().map(id).collect();
        for ids in ids.chunks(CHUNK) {
            diesel::delete(outbox::table.filter(one_of(outbox::task_id, ids)))
                .filter(outbox::dispatch.eq(signed(number)))
                .execute(conn)?;
        }
        group.retain(|due| due.due_at + LATE < now);
        let ids: Vec<Id> = group.iter().map(id).collect();
        for ids in ids.chunks(CHUNK) {
            diesel::update(tasks::table.filter(one_of(tasks::id, ids)))
                .filter(tasks::dispatch.eq(signed(number)))
                .set(tasks::dispatched_at.eq(now))
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Records that the queue refused these messages; they are retried at `retry_at`.
pub fn refused(
    conn: &mut DbConnection,
    dispatches: &[Dispatch],
    retry_at: NaiveDateTime,
) -> DbResult<()> {
    let ids: Vec<Id> = dispatches.iter().map(|due| Id(due.message.task_id.0)).collect();
    for ids in ids.chunks(CHUNK) {
        diesel::update(outbox::table.filter(one_of(outbox::task_id, ids)))
            .set(outbox::locked_until.eq(retry_at))
            .execute(conn)?;
    }
    Ok(())
}

/// When the next row after `now` is due.
pub fn next_due(conn: &mut DbConnection, now: NaiveDateTime) -> DbResult<Option<NaiveDateTime>> {
    let later = outbox::table.filter(outbox::due_at.gt(now));
    Ok(later.order(outbox::due_at).select(outbox::due_at).first(conn).optional()?)
}

/// Releases all leases and reservations, at the start of the only process.
pub fn free_all(conn: &mut DbConnection) -> DbResult<()> {
    diesel::update(outbox::table.filter(outbox::locked_until.is_not_null()))
        .set(outbox::locked_until.eq(None::<NaiveDateTime>))
        .execute(conn)?;
    Ok(())
}

/// A queued task without an outbox row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub id: TaskId,
    pub kind: TaskKind,
    /// As stored.
    dispatch: i32,
    /// How many times it has been redispatched since it was queued, including the next one.
    redispatches: i32,
}

/// At most `limit` queued tasks of `kind` without an outbox row, dispatched before `before`.
pub fn waiting_since(
    conn: &mut DbConnection,
    kind: TaskKind,
    before: NaiveDateTime,
    limit: i64,
) -> DbResult<Vec<Waiting>> {
    let in_outbox = outbox::table.filter(outbox::task_id.eq(tasks::id)).select(outbox::task_id);
    let rows: Vec<(Id, i32, i32)> = tasks::table
        .filter(tasks::kind.eq(kind.as_str()))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        // No task is dispatched before it is queued, so this is implied; it enables the index of
        // the queue.
        .filter(tasks::queued_at.lt(before))
        .filter(tasks::dispatched_at.lt(before))
        .filter(tasks::deleted.ne(true))
        .filter(not(exists(in_outbox)))
        .order(tasks::queued_at)
        .limit(limit)
        .select((tasks::id, tasks::dispatch, tasks::redispatches))
        .load(conn)?;
    let waiting = |(id, dispatch, redispatches): (Id, i32, i32)| Waiting {
        id: TaskId(id.0),
        kind,
        dispatch,
        redispatches: redispatches.saturating_add(1),
    };
    Ok(rows.into_iter().map(waiting).collect())
}

/// At most `limit` queued tasks without an outbox row, of kinds that this version knows, after the
/// task `after` in order of ids.
pub fn without_row(
    conn: &mut DbConnection,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<Waiting>> {
    let in_outbox = outbox::table.filter(outbox::task_id.eq(tasks::id)).select(outbox::task_id);
    let mut query = tasks::table
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(known_kind(tasks::kind))
        .filter(tasks::deleted.ne(true))
        .filter(not(exists(in_outbox)))
        .order(tasks::id)
        .limit(limit)
        .select((tasks::id, tasks::dispatch, tasks::kind))
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    let rows: Vec<(Id, i32, String)> = query.load(conn)?;
    let waiting = |(id, dispatch, kind): (Id, i32, String)| {
        let kind = kind.parse().ok()?;
        Some(Waiting { id: TaskId(id.0), kind, dispatch, redispatches: 0 })
    };
    Ok(rows.into_iter().filter_map(waiting).collect())
}

/// A lower bound for when the latest claimed message of `kind` was published, give or take
/// [`LATE`].
pub fn latest_claimed(conn: &mut DbConnection, kind: TaskKind) -> DbResult<Option<NaiveDateTime>> {
    // The few tasks in `processing` cover redispatched messages too.
    let mut latest: Option<NaiveDateTime> = tasks::table
        .filter(tasks::kind.eq(kind.as_str()))
        .filter(tasks::state.eq(TaskState::Processing.as_str()))
        .select(max(tasks::dispatched_at))
        .first(conn)?;
    // Reads the end of the index for each state that a claimed task can have.
    for state in [TaskState::Processing, TaskState::Processed, TaskState::Failed] {
        let found: Option<NaiveDateTime> = tasks::table
            .filter(tasks::kind.eq(kind.as_str()))
            .filter(tasks::state.eq(state.as_str()))
            .select(max(tasks::queued_at))
            .first(conn)?;
        latest = latest.max(found);
    }
    Ok(latest)
}

/// A redispatched task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redispatched {
    pub dispatch: Dispatch,
    /// How many times since it was queued.
    pub redispatches: u32,
}

/// Dispatches a queued task again, by compare-and-swap on its dispatch number; none if it was
/// claimed in the meantime.
pub fn redispatch(
    conn: &mut DbConnection,
    waiting: Waiting,
    now: NaiveDateTime,
) -> DbResult<Option<Redispatched>> {
    let Ok(stored) = u32::try_from(waiting.dispatch) else {
        // A broken row: the task fails here.
        store::find_and_lock(conn, &[Id(waiting.id.0)])?;
        return Ok(None);
    };
    let dispatch = stored + 1;
    let raised = diesel::update(tasks::table.find(Id(waiting.id.0)))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .filter(tasks::dispatch.eq(waiting.dispatch))
        .set((
            tasks::dispatch.eq(signed(dispatch)),
            tasks::dispatched_at.eq(now),
            tasks::redispatches.eq(waiting.redispatches),
        ))
        .execute(conn)?;
    if raised == 0 {
        return Ok(None);
    }
    let message = Message { task_id: waiting.id, dispatch };
    let dispatch = Dispatch { kind: waiting.kind, message, due_at: now };
    append(conn, &[dispatch])?;
    let redispatches = u32::try_from(waiting.redispatches).unwrap_or_default();
    Ok(Some(Redispatched { dispatch, redispatches }))
}
