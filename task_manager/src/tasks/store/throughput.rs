//! How many tasks ended per minute.
//!
//! Two indexes have what is needed, so that no row is read: `tasks_by_end` all tasks that ended, and
//! `tasks_by_state` those that did not succeed. With the state in the first one, every claim would
//! change it too.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use common::task::{TaskState, UserId};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Untyped};

use crate::db::schema::tasks;
use crate::db::{Condition, DbConnection, DbError, DbResult, Id, Parameter, moment, on_either};

/// The minute of a task's end, as `2026-01-31 12:05`.
const MINUTE: &str = "SUBSTR(tasks.finished_at, 1, 16)";
const NOT_DELETED: &str = "COALESCE(tasks.deleted, 1) = 0";

/// The tasks that ended in the same minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub processed: u64,
    pub failed: u64,
}

/// The processed and failed tasks of `owner` or, without one, of all users that ended since `from`,
/// by minutes such as `2026-01-31 12:05`.
pub fn ended_per_minute(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    from: NaiveDateTime,
) -> DbResult<BTreeMap<String, Ended>> {
    let mut minutes: BTreeMap<String, Ended> = BTreeMap::new();
    for (minute, count) in all(conn, owner, from)? {
        minutes.insert(minute, Ended { processed: count, failed: 0 });
    }
    for (minute, state, count) in unsuccessful(conn, owner, from)? {
        // A task that ended since the first query may be missing there.
        let ended = minutes.entry(minute).or_default();
        ended.processed = ended.processed.saturating_sub(count);
        if state == TaskState::Failed.as_str() {
            ended.failed = count;
        }
    }
    Ok(minutes)
}

/// All tasks that ended.
fn all(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    from: NaiveDateTime,
) -> DbResult<Vec<(String, u64)>> {
    let mut condition = Condition::default();
    // Both values, so that a database can use the index, whose first column this is. The functions
    // keep it from using indexes on the other columns.
    condition.add("tasks.files_removed IN (0, 1)");
    condition.add_with("tasks.finished_at >= ?", &[Parameter::Text(moment(from).as_str())]);
    condition.add(NOT_DELETED);
    if let Some(owner) = owner {
        condition.add_with("COALESCE(tasks.owner, '') = ?", &[Parameter::Id(Id(owner.0))]);
    }
    let columns = format!("{MINUTE}, COUNT(*)");
    let rows: Vec<(String, i64)> = on_either!(conn, |conn| tasks::table
        .group_by(sql::<Untyped>(MINUTE))
        .select(sql::<(Text, BigInt)>(&columns))
        .filter(condition)
        .load(conn))?;
    let read = |(minute, count)| Ok((minute, u64::try_from(count).map_err(DbError::corrupt)?));
    rows.into_iter().map(read).collect()
}

/// Those in another state than `processed`.
fn unsuccessful(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    from: NaiveDateTime,
) -> DbResult<Vec<(String, String, u64)>> {
    let mut condition = Condition::default();
    // Of all users, the whole index is read: another one has the state, but not the times.
    let state = if owner.is_some() { "tasks.state" } else { "COALESCE(tasks.state, '')" };
    condition.add(&format!("{state} IN ('failed', 'stopped', 'killed')"));
    if let Some(owner) = owner {
        condition.add_with("tasks.owner = ?", &[Parameter::Id(Id(owner.0))]);
    }
    let has_ended = "COALESCE(tasks.finished_at, tasks.created_at) >= ? \
                     AND tasks.finished_at IS NOT NULL";
    condition.add_with(has_ended, &[Parameter::Text(moment(from).as_str())]);
    condition.add(NOT_DELETED);
    let groups = format!("{MINUTE}, tasks.state");
    let columns = format!("{MINUTE}, tasks.state, COUNT(*)");
    let rows: Vec<(String, String, i64)> = on_either!(conn, |conn| tasks::table
        .group_by(sql::<Untyped>(&groups))
        .select(sql::<(Text, Text, BigInt)>(&columns))
        .filter(condition)
        .load(conn))?;
    let read = |(minute, state, count)| {
        Ok((minute, state, u64::try_from(count).map_err(DbError::corrupt)?))
    };
    rows.into_iter().map(read).collect()
}
