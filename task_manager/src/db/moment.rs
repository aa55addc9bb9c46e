//! Times of any year as parameters of a query.

use chrono::{NaiveDateTime, SubsecRound};
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Nullable, Text, Timestamp};
use serde::{Serialize, Serializer};

/// A time, UTC, to be compared with a column or kept in one, whatever its year.
///
/// It goes to the database as text in the form of the columns of both. Diesel would send a
/// `TIMESTAMP`, of which MariaDB makes a null outside of 1970 to 2038, although the columns are
/// `DATETIME`. What is near the present may be sent so.
#[derive(Debug, Clone, PartialEq, Eq, QueryId)]
pub struct Moment(String);

/// The same where there may be no time.
#[derive(Debug, Clone, PartialEq, Eq, QueryId)]
pub struct MomentOrNull(Option<String>);

/// `time` as a parameter; what is less than a microsecond is cut off, as databases do.
pub fn moment(time: NaiveDateTime) -> Moment {
    Moment(time.trunc_subsecs(6).format("%F %T%.f").to_string())
}

/// The same where there may be no time.
pub fn moment_or_null(time: Option<NaiveDateTime>) -> MomentOrNull {
    MomentOrNull(time.map(|time| moment(time).0))
}

impl Moment {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As MySQL reads it, in JSON that is handed to it.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Expression for Moment {
    type SqlType = Timestamp;
}

impl Expression for MomentOrNull {
    type SqlType = Nullable<Timestamp>;
}

impl<QS> AppearsOnTable<QS> for Moment {}

impl<QS> AppearsOnTable<QS> for MomentOrNull {}

impl<QS> SelectableExpression<QS> for Moment {}

impl<QS> SelectableExpression<QS> for MomentOrNull {}

impl ValidGrouping<()> for Moment {
    type IsAggregate = is_aggregate::Never;
}

impl ValidGrouping<()> for MomentOrNull {
    type IsAggregate = is_aggregate::Never;
}

impl<DB: Backend + HasSqlType<Text>> QueryFragment<DB> for Moment
where
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_bind_param::<Text, _>(&self.0)
    }
}

impl<DB: Backend + HasSqlType<Text>> QueryFragment<DB> for MomentOrNull
where
    Option<String>: ToSql<Nullable<Text>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_bind_param::<Nullable<Text>, _>(&self.0)
    }
}
