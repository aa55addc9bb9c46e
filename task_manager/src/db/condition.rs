//! A condition that is put together while the server runs, since its parts depend on a request.

use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Bool, HasSqlType, Text};

use super::{Id, known_by_text};

known_by_text!(Condition);

/// Conditions that all apply. Text from a request is always a parameter, never part of the
/// statement.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Sql(String),
    Id(Id),
    Text(String),
    Number(i64),
}

impl Condition {
    /// Adds a condition.
    pub fn add(&mut self, sql: &str) {
        self.add_with(sql, &[]);
    }

    /// Adds a condition with a `?` for each of the parameters.
    pub fn add_with(&mut self, sql: &str, parameters: &[Parameter<'_>]) {
        let before = if self.parts.is_empty() { "(" } else { " AND (" };
        self.parts.push(Part::Sql(before.to_owned()));
        let mut parameters = parameters.iter();
        for (index, text) in sql.split('?').enumerate() {
            if index > 0 {
                self.parts.extend(parameters.next().map(Part::of));
            }
            self.parts.push(Part::Sql(text.to_owned()));
        }
        self.parts.push(Part::Sql(")".to_owned()));
    }
}

/// A value of a condition.
#[derive(Debug, Clone, Copy)]
pub enum Parameter<'a> {
    /// An id.
    Id(Id),
    /// A text, or a time in the format of [`super::Moment`].
    Text(&'a str),
    /// A whole number.
    Number(i64),
}

impl Part {
    fn of(parameter: &Parameter<'_>) -> Self {
        match *parameter {
            Parameter::Id(id) => Self::Id(id),
            Parameter::Text(text) => Self::Text(text.to_owned()),
            Parameter::Number(number) => Self::Number(number),
        }
    }
}

impl Expression for Condition {
    type SqlType = Bool;
}

impl<QS> AppearsOnTable<QS> for Condition {}

impl<QS> SelectableExpression<QS> for Condition {}

impl ValidGrouping<()> for Condition {
    type IsAggregate = is_aggregate::No;
}

impl<DB> QueryFragment<DB> for Condition
where
    DB: Backend + HasSqlType<Binary> + HasSqlType<Text> + HasSqlType<BigInt>,
    Id: ToSql<Binary, DB>,
    String: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        // There are too many different ones for a cache that never forgets.
        out.unsafe_to_cache_prepared();
        for part in &self.parts {
            match part {
                Part::Sql(sql) => out.push_sql(sql),
                Part::Id(id) => out.push_bind_param::<Binary, _>(id)?,
                Part::Text(text) => out.push_bind_param::<Text, _>(text)?,
                Part::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
            }
        }
        Ok(())
    }
}
