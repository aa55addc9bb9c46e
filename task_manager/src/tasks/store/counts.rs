//! Counts of tasks by state, kind and hour.
//!
//! They are read from the index `tasks_by_state`, without a task's row: a million tasks take about
//! 0.3 s.

use std::collections::BTreeMap;

use common::task::UserId;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Untyped};

use super::Filter;
use crate::db::schema::tasks;
use crate::db::{DbConnection, DbError, DbResult, on_either, task_expressions};

/// What counts distinguish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountBy {
    pub state: bool,
    pub kind: bool,
    /// The hour of creation.
    pub hour: bool,
}

/// How many tasks have the same state, kind and hour; each is none if it is not distinguished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The name, which only another version may know.
    pub state: Option<String>,
    /// The name, which only another version may know.
    pub kind: Option<String>,
    /// As `2026-01-31 12`.
    pub hour: Option<String>,
    pub count: u64,
}

/// Counts the tasks of `owner` or, without one, of all users.
pub fn counts(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    filter: &Filter,
    by: CountBy,
) -> DbResult<Vec<Count>> {
    let condition = filter.condition(owner, task_expressions(conn));
    let hour = if by.hour { "SUBSTR(tasks.created_at, 1, 13)" } else { "''" };
    // In the order of the index, whatever is requested, so that nothing is sorted.
    let groups = match by.hour {
        true => format!("tasks.owner, tasks.state, tasks.kind, {hour}"),
        false => "tasks.owner, tasks.state, tasks.kind".to_owned(),
    };
    let columns = format!("tasks.state, tasks.kind, {hour}, COUNT(*)");
    let rows: Vec<(String, String, String, i64)> = on_either!(conn, |conn| tasks::table
        .group_by(sql::<Untyped>(&groups))
        .select(sql::<(Text, Text, Text, BigInt)>(&columns))
        .filter(condition)
        .load(conn))?;
    let mut counts = BTreeMap::new();
    for (state, kind, hour, count) in rows {
        let group = (by.state.then_some(state), by.kind.then_some(kind), by.hour.then_some(hour));
        *counts.entry(group).or_insert(0) += u64::try_from(count).map_err(DbError::corrupt)?;
    }
    let count = |((state, kind, hour), count)| Count { state, kind, hour, count };
    Ok(counts.into_iter().map(count).collect())
}

/// How many tasks of `owner` match.
pub fn count(conn: &mut DbConnection, owner: UserId, filter: &Filter) -> DbResult<u64> {
    let counts = counts(conn, Some(owner), filter, CountBy::default())?;
    Ok(counts.iter().map(|count| count.count).sum())
}
