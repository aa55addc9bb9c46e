//! The registry of workers that reported recently. SQL on `workers`.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::report::{WorkerId, WorkerInfo};
use common::task::{KindName, TaskState};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::schema::{tasks, workers};
use crate::db::{self, DbConnection, DbError, DbResult, Id, execute_cached, on_either, one_of};
use crate::tasks::store::signed;

/// A worker that reported within this time is online: an idle one reports every 10 seconds.
const ONLINE: std::time::Duration = std::time::Duration::from_secs(30);
/// The longest name and version that are stored, in characters.
const MAX_NAME: usize = 255;
const MAX_VERSION: usize = 64;

/// A worker as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkerView {
    /// One per start of the process.
    pub id: Uuid,
    /// A name for display.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// The kinds of task that it runs.
    #[schema(value_type = Vec<String>, example = json!(["csv_aggregation"]))]
    pub kinds: Vec<KindName>,
    /// How many tasks it runs at a time, small ones not counted.
    pub slots: u32,
    /// How many tasks it runs now, including small ones.
    pub running: u64,
    /// Whether it accepts no more tasks because it is shutting down.
    pub draining: bool,
    /// Whether it reported within the last 30 seconds.
    pub online: bool,
    /// When it reported first, UTC.
    pub started_at: DateTime<Utc>,
    /// When it reported last, UTC.
    pub seen_at: DateTime<Utc>,
}

/// Records that the worker reported, in the caller's transaction.
pub fn note_seen(conn: &mut DbConnection, worker: &WorkerInfo) -> DbResult<()> {
    let now = db::now(conn)?;
    let updated = execute_cached!(
        conn,
        diesel::update(workers::table.find(Id(worker.id.0)))
            .set((workers::draining.eq(worker.draining), workers::seen_at.eq(now)))
    )?;
    if updated == 0 {
        diesel::insert_into(workers::table)
            .values((
                workers::id.eq(Id(worker.id.0)),
                workers::name.eq(worker.name.chars().take(MAX_NAME).collect::<String>()),
                workers::version.eq(worker.version.chars().take(MAX_VERSION).collect::<String>()),
                workers::kinds.eq(serde_json::to_string(&worker.kinds).map_err(DbError::corrupt)?),
                workers::slots.eq(signed(worker.slots)),
                workers::draining.eq(worker.draining),
                workers::started_at.eq(now),
                workers::seen_at.eq(now),
            ))
            .execute(conn)?;
    }
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = workers)]
struct WorkerRow {
    id: Id,
    name: String,
    version: String,
    kinds: String,
    slots: i32,
    draining: bool,
    started_at: NaiveDateTime,
    seen_at: NaiveDateTime,
}

/// All workers in the registry, the last seen first.
pub fn list(conn: &mut DbConnection) -> DbResult<Vec<WorkerView>> {
    let now = db::now(conn)?;
    let rows: Vec<WorkerRow> =
        workers::table.order(workers::seen_at.desc()).select(WorkerRow::as_select()).load(conn)?;
    rows.into_iter().map(|row| view(conn, row, now)).collect()
}

fn view(conn: &mut DbConnection, row: WorkerRow, now: NaiveDateTime) -> DbResult<WorkerView> {
    let running: i64 = tasks::table
        .filter(tasks::state.eq(TaskState::Processing.as_str()))
        .filter(tasks::worker.eq(row.id))
        .count()
        .get_result(conn)?;
    Ok(WorkerView {
        id: row.id.0,
        name: row.name,
        version: row.version,
        // A worker with a broken row is listed nevertheless.
        kinds: serde_json::from_str(&row.kinds).unwrap_or_default(),
        slots: u32::try_from(row.slots).unwrap_or_default(),
        running: u64::try_from(running).map_err(DbError::corrupt)?,
        draining: row.draining,
        online: row.seen_at >= now - ONLINE,
        started_at: row.started_at.and_utc(),
        seen_at: row.seen_at.and_utc(),
    })
}

/// The names of those of the workers that are in the registry.
pub fn names(conn: &mut DbConnection, ids: &[Id]) -> DbResult<HashMap<WorkerId, String>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(Id, String)> = on_either!(conn, |conn| workers::table
        .filter(one_of(workers::id, ids))
        .select((workers::id, workers::name))
        .load(conn))?;
    Ok(found.into_iter().map(|(id, name)| (WorkerId(id.0), name)).collect())
}

/// Removes workers that were last seen before `before`.
pub fn forget(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(workers::table.filter(workers::seen_at.lt(before))).execute(conn)?;
    Ok(())
}
