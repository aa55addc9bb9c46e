//! The database's clock in UTC, which all processes share.

use chrono::NaiveDateTime;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Timestamp;
use diesel::sqlite::Sqlite;

use super::{DbConnection, on_either};

/// The database's time.
pub fn now(conn: &mut DbConnection) -> QueryResult<NaiveDateTime> {
    on_either!(conn, |conn| diesel::select(clock()).get_result(conn))
}

/// The database's time as a column of a query, which saves the round trip of [`now`]. It is the
/// time at which the row was read, or locked if the query locks it.
pub fn clock() -> Clock {
    Clock(common::clock::now().naive_utc())
}

/// See [`clock`]. With SQLite it is the clock of the only process.
#[derive(Debug, Clone, Copy, QueryId)]
pub struct Clock(NaiveDateTime);

impl Expression for Clock {
    type SqlType = Timestamp;
}

impl<QS> AppearsOnTable<QS> for Clock {}

impl<QS> SelectableExpression<QS> for Clock {}

impl ValidGrouping<()> for Clock {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Mysql> for Clock {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // In the session's time zone, which is UTC. `UTC_TIMESTAMP` is the start of the statement,
        // before it waited for a lock.
        out.push_sql("SYSDATE(6)");
        Ok(())
    }
}

impl QueryFragment<Sqlite> for Clock {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_bind_param::<Timestamp, _>(&self.0)
    }
}
