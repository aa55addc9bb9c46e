//! Failed tasks by the code of their error.

use chrono::NaiveDateTime;
use common::task::UserId;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamp, Untyped};

use super::Filter;
use crate::db::schema::tasks;
use crate::db::{DbConnection, DbError, DbResult, Id, on_either, task_expressions};

/// The tasks that failed with the same code.
#[derive(Debug, Clone)]
pub struct Failures {
    pub code: String,
    pub count: u64,
    pub last_at: Option<NaiveDateTime>,
    /// The newest of them.
    pub example: Id,
}

type FailureRow = (Option<String>, i64, Option<NaiveDateTime>, Id);

/// The failures of `owner` or, without one, of all users: at most `limit` codes, the most frequent
/// first. The filter selects failed tasks.
pub fn failures(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    filter: &Filter,
    limit: i64,
) -> DbResult<Vec<Failures>> {
    let expressions = task_expressions(conn);
    let condition = filter.condition(owner, expressions);
    let code = expressions.error_code;
    let columns = format!("{code}, COUNT(*), MAX(tasks.finished_at), MAX(tasks.id)");
    type Columns = (Nullable<Text>, BigInt, Nullable<Timestamp>, Binary);
    let rows: Vec<FailureRow> = on_either!(conn, |conn| tasks::table
        .group_by(sql::<Untyped>(code))
        .select(sql::<Columns>(&columns))
        .filter(condition)
        .order(sql::<Untyped>("COUNT(*) DESC, MAX(tasks.id) DESC"))
        .limit(limit)
        .load(conn))?;
    let read = |(code, count, last_at, example): FailureRow| {
        let count = u64::try_from(count).map_err(DbError::corrupt)?;
        // An error that does not parse has no code.
        Ok(code.map(|code| Failures { code, count, last_at, example }))
    };
    rows.into_iter().filter_map(|row| read(row).transpose()).collect()
}
