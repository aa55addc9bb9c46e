//! Statements on any number of rows with a constant text, so that a connection prepares them once.
//! The text that diesel generates for a list depends on its length: each call would prepare and
//! close a statement, which costs the server more than the rows.

use diesel::backend::Backend;
use diesel::connection::Connection;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::prelude::*;
use diesel::query_builder::{
    AstPass, CollectedQuery, MoveableBindCollector, Query, QueryBuilder, QueryFragment,
};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Bool, HasSqlType, Text, TypeMetadata};
use serde::Serialize;

use super::{DbError, DbResult, Id};

/// Has statements cached by their texts, since their types do not distinguish them.
macro_rules! known_by_text {
    ($($statement:ident $(<$part:tt>)?),* $(,)?) => {
        $(impl $(<$part>)? diesel::query_builder::QueryId for $statement $(<$part>)? {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        })*
    };
}
pub(crate) use known_by_text;

known_by_text!(OneOf<C>, FromJson, Cached<Q>, CountOf<Q>);

/// Whether the column is one of `ids`.
pub fn one_of<C>(column: C, ids: &[Id]) -> OneOf<C> {
    OneOf { column, ids: ids.to_vec() }
}

/// See [`one_of`]. The list is padded to the next power of two by repeating its last id, so that
/// there are few different texts.
#[derive(Debug, Clone)]
pub struct OneOf<C> {
    column: C,
    ids: Vec<Id>,
}

impl<C> Expression for OneOf<C> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<QS>, QS> AppearsOnTable<QS> for OneOf<C> {}

impl<C, QS> SelectableExpression<QS> for OneOf<C> where Self: AppearsOnTable<QS> {}

impl<C> ValidGrouping<()> for OneOf<C> {
    type IsAggregate = is_aggregate::No;
}

impl<C, DB> QueryFragment<DB> for OneOf<C>
where
    DB: Backend + HasSqlType<Binary>,
    C: QueryFragment<DB>,
    Id: ToSql<Binary, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        let Some(last) = self.ids.last() else {
            out.push_sql(" IN (NULL)");
            return Ok(());
        };
        let length = self.ids.len().next_power_of_two();
        let padded = self.ids.iter().chain(std::iter::repeat(last)).take(length);
        for (index, id) in padded.enumerate() {
            out.push_sql(if index == 0 { " IN (" } else { ", " });
            out.push_bind_param::<Binary, _>(id)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

/// A MySQL statement that takes its rows from one JSON text.
#[derive(Debug, Clone)]
pub struct FromJson {
    text: &'static str,
    json: String,
}

impl FromJson {
    /// `text` has one `?`, for `rows`.
    ///
    /// # Errors
    /// A row cannot be written as JSON.
    pub fn of<T: Serialize>(text: &'static str, rows: &[T]) -> DbResult<Self> {
        let json = serde_json::to_string(rows).map_err(DbError::corrupt)?;
        Ok(Self { text, json })
    }
}

impl QueryFragment<Mysql> for FromJson {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let (before, after) = self.text.split_once('?').unwrap_or((self.text, ""));
        out.push_sql(before);
        out.push_bind_param::<Text, _>(&self.json)?;
        out.push_sql(after);
        Ok(())
    }
}

impl RunQueryDsl<MysqlConnection> for FromJson {}

/// Caches the prepared statement of a query that diesel would prepare each time, such as an update.
/// The query must have one of few texts. This has no effect through a [`super::DbConnection`], nor
/// on statements that change rows: see `execute_cached`.
pub fn cached<Q>(statement: Q) -> Cached<Q> {
    Cached(statement)
}

/// See [`cached`].
#[derive(Debug, Clone)]
pub struct Cached<Q>(Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> Cached<Q> {
    /// Executes a statement that changes rows. For those, a connection checks only whether the
    /// parts of the statement may be cached; so it gets a collected one, without parts.
    ///
    /// # Errors
    /// The statement fails.
    pub fn execute_on<Conn, Db, Data>(&self, conn: &mut Conn, database: Db) -> QueryResult<usize>
    where
        Conn: Connection<Backend = Db>,
        Db: Backend<QueryBuilder: Default> + TypeMetadata<MetadataLookup = ()>,
        for<'a> Db::BindCollector<'a>: Default + MoveableBindCollector<Db, BindData = Data>,
        Q: QueryFragment<Db>,
        CollectedQuery<Data>: QueryFragment<Db>,
    {
        let mut text = Db::QueryBuilder::default();
        self.0.to_sql(&mut text, &database)?;
        let mut parameters = Db::BindCollector::default();
        self.0.collect_binds(&mut parameters, &mut (), &database)?;
        let whole = CollectedQuery::new(text.finish(), true, parameters.moveable());
        conn.execute_returning_count(&whole)
    }
}

impl<Q: Query> Query for Cached<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, Conn> RunQueryDsl<Conn> for Cached<Q> {}

/// Counts the rows of a query, which may have a limit, in the database.
pub fn count_of<Q>(query: Q) -> CountOf<Q> {
    CountOf(query)
}

/// See [`count_of`].
#[derive(Debug, Clone)]
pub struct CountOf<Q>(Q);

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for CountOf<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT COUNT(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS counted");
        Ok(())
    }
}

impl<Q> Query for CountOf<Q> {
    type SqlType = BigInt;
}

impl<Q, Conn> RunQueryDsl<Conn> for CountOf<Q> {}
