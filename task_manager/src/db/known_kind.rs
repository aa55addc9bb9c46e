//! A filter that skips tasks of kinds that only other versions know.

use common::task::TaskKind;
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Bool, Text};

use super::known_by_text;

known_by_text!(KnownKind<C>);

/// Whether the column names a kind of task that this version knows.
pub fn known_kind<C: Expression<SqlType = Text>>(column: C) -> KnownKind<C> {
    KnownKind(column)
}

/// See [`known_kind`]. The names are part of the text, so that a connection caches the statement.
#[derive(Debug, Clone, Copy)]
pub struct KnownKind<C>(C);

impl<C> Expression for KnownKind<C> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<QS>, QS> AppearsOnTable<QS> for KnownKind<C> {}

impl<C, QS> SelectableExpression<QS> for KnownKind<C> where Self: AppearsOnTable<QS> {}

impl<C> ValidGrouping<()> for KnownKind<C> {
    type IsAggregate = is_aggregate::No;
}

impl<C: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for KnownKind<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        // The function keeps SQLite from using the index of the queue: it prefers the index with
        // the most columns compared by equality, and would read all tasks instead of the few that
        // are due.
        out.push_sql("COALESCE(");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(", '')");
        for (index, kind) in TaskKind::ALL.into_iter().enumerate() {
            out.push_sql(if index == 0 { " IN ('" } else { "', '" });
            out.push_sql(kind.as_str());
        }
        out.push_sql("')");
        Ok(())
    }
}
