//! SQL on `user_events`. No function opens a transaction.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use common::task::{TaskId, UserId};
use common::user_event::UserEvent;
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::Bool;

use crate::db::schema::user_events;
use crate::db::{DbConnection, DbError, DbResult, Id, moment};
use crate::paging::Period;

/// Inserts the event of a task that `owner` owns; false if the owner has one with this id.
pub(super) fn insert(
    conn: &mut DbConnection,
    task_id: TaskId,
    owner: UserId,
    event: &UserEvent,
    now: NaiveDateTime,
) -> DbResult<bool> {
    let inserted = diesel::insert_into(user_events::table)
        .values((
            user_events::owner.eq(Id(owner.0)),
            user_events::event_id.eq(&event.id),
            user_events::task_id.eq(Id(task_id.0)),
            user_events::city.eq(&event.address.city),
            user_events::state.eq(&event.address.state),
            user_events::country.eq(&event.address.country),
            user_events::post_code.eq(&event.address.post_code),
            user_events::occurred_at.eq(moment(event.datetime.naive_utc())),
            user_events::created_at.eq(now),
        ))
        .execute(conn);
    match inserted {
        Ok(_) => Ok(true),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the event that a task recorded, if any.
pub fn remove(conn: &mut DbConnection, task_id: TaskId) -> DbResult<()> {
    diesel::delete(user_events::table.filter(user_events::task_id.eq(Id(task_id.0))))
        .execute(conn)?;
    Ok(())
}

/// The filter of a report.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// All owners if none.
    pub owner: Option<UserId>,
    pub state: Option<String>,
    pub country: Option<String>,
    /// The period in which events happened.
    pub period: Period,
}

type Condition = Box<
    dyn BoxableExpression<user_events::table, <DbConnection as Connection>::Backend, SqlType = Bool>,
>;

impl Filter {
    fn condition(&self) -> Condition {
        let mut condition: Condition = match self.owner {
            Some(owner) => Box::new(user_events::owner.eq(Id(owner.0))),
            None => Box::new(diesel::dsl::sql::<Bool>("TRUE")),
        };
        if let Some(state) = &self.state {
            condition = Box::new(condition.and(user_events::state.eq(state.clone())));
        }
        if let Some(country) = &self.country {
            condition = Box::new(condition.and(user_events::country.eq(country.clone())));
        }
        if let Some(from) = self.period.from {
            condition = Box::new(condition.and(user_events::occurred_at.ge(moment(from))));
        }
        if let Some(to) = self.period.to {
            condition = Box::new(condition.and(user_events::occurred_at.lt(moment(to))));
        }
        condition
    }
}

/// The number of events of each city.
pub(super) fn users_by_city(
    conn: &mut DbConnection,
    filter: &Filter,
) -> DbResult<BTreeMap<String, u64>> {
    let found: Vec<(String, i64)> = user_events::table
        .filter(filter.condition())
        .group_by(user_events::city)
        .select((user_events::city, count_star()))
        .load(conn)?;
    let counted =
        |(city, users): (String, i64)| Ok((city, u64::try_from(users).map_err(DbError::corrupt)?));
    found.into_iter().map(counted).collect()
}
