//! Query parameters for times of any year.

use chrono::{NaiveDateTime, SubsecRound};
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Nullable, Text, Timestamp};
use serde::{Serialize, Serializer};

/// A time in UTC, of any year, to compare with a column or to store in one.
///
/// It is sent as text, in the format of the columns of both databases. Diesel would send a
/// `TIMESTAMP`, which MariaDB turns into null outside of 1970 to 2038, although the columns are
/// `DATETIME`. Times near the present may be sent that way.
#[derive(Debug, Clone, PartialEq, Eq, QueryId)]
pub struct Moment(String);

/// The same for an optional time.
#[derive(Debug, Clone, PartialEq, Eq, QueryId)]
pub struct MomentOrNull(Option<String>);

/// `time` as a parameter, truncated to microseconds, as the databases store it.
pub fn moment(time: NaiveDateTime) -> Moment {
    Moment(time.trunc_subsecs(6).format("%F %T%.f").to_string())
}

/// The same for an optional time.
pub fn moment_or_null(time: Option<NaiveDateTime>) -> MomentOrNull {
    MomentOrNull(time.map(|time| moment(time).0))
}

impl Moment {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In JSON for MySQL, as it reads times.
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
