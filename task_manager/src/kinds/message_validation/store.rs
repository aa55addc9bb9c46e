//! SQL on `messages` and `request_counters`. No function opens a transaction.

use std::collections::HashMap;

use chrono::{NaiveDate, NaiveDateTime};
use common::message::Category;
use common::task::{TaskId, UserId};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Date, Text};
use serde::Serialize;
use tracing::warn;
use uuid::Uuid;

use super::search::Search;
use super::{NewMessage, TrackedMessage, snippet, terms};
use crate::db::schema::{messages, request_counters};
use crate::db::{
    DbConnection, DbError, DbResult, FromJson, Id, MessageQuery, Moment, clock, execute_cached,
    find_messages, insert_all, moment, on_either,
};
use crate::log_once;
use crate::paging::Period;
use crate::paging::{Cursor, after_cursor};

/// Raises a user's counter by `by`; returns the new count, and the database's time after it.
pub fn raise_counter(
    conn: &mut DbConnection,
    user: UserId,
    by: u64,
) -> DbResult<(u64, NaiveDateTime)> {
    let id = Id(user.0);
    let by = signed(by)?;
    let raise = |conn: &mut DbConnection| {
        execute_cached!(
            conn,
            diesel::update(request_counters::table.find(id))
                .set(request_counters::count.eq(request_counters::count + by))
        )
    };
    if raise(conn)? == 0 {
        let begun = diesel::insert_into(request_counters::table)
            .values((request_counters::user_id.eq(id), request_counters::count.eq(by)))
            .execute(conn);
        match begun {
            // Another task manager was faster.
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                raise(conn)?;
            }
            begun => {
                begun?;
            }
        }
    }
    let raised = request_counters::table.find(id).select((request_counters::count, clock()));
    let (count, now): (i64, NaiveDateTime) = on_either!(conn, |conn| raised.first(conn))?;
    Ok((u64::try_from(count).map_err(DbError::corrupt)?, now))
}

fn signed(value: u64) -> DbResult<i64> {
    i64::try_from(value).map_err(DbError::corrupt)
}

/// MySQL's statement for several records.
const FROM_JSON: &str = "\
    INSERT INTO messages (id, user_id, message, request_count, category, terms, created_at) \
    SELECT UNHEX(tracked.id), UNHEX(tracked.user_id), tracked.message, tracked.request_count, \
           tracked.category, tracked.terms, tracked.created_at \
    FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
        id CHAR(32) PATH '$.id', \
        user_id CHAR(32) PATH '$.user_id', \
        message MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$.message', \
        request_count BIGINT PATH '$.request_count', \
        category VARCHAR(16) PATH '$.category', \
        terms MEDIUMTEXT CHARACTER SET ascii PATH '$.terms', \
        created_at CHAR(26) PATH '$.created_at')) AS tracked";

#[derive(Insertable, Serialize)]
#[diesel(table_name = messages, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: Id,
    user_id: Id,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_count: Option<i64>,
    category: &'static str,
    terms: String,
    created_at: Moment,
}

impl<'a> NewRow<'a> {
    fn of(new: &'a NewMessage) -> DbResult<Self> {
        Ok(Self {
            id: Id(new.id),
            user_id: Id(new.user.0),
            message: &new.message,
            request_count: new.request_count.map(signed).transpose()?,
            category: new.category.as_str(),
            terms: terms::indexed(&new.message),
            created_at: moment(new.created_at),
        })
    }
}

/// Inserts messages with one statement, which is cached for a single one. SQLite's full-text index
/// starts a new segment with each statement that fires a trigger, and merges the segments later.
pub fn insert(conn: &mut DbConnection, new: &[NewMessage]) -> DbResult<()> {
    let rows = new.iter().map(NewRow::of).collect::<DbResult<Vec<_>>>()?;
    match &rows[..] {
        [] => return Ok(()),
        [row] => execute_cached!(conn, diesel::insert_into(messages::table).values(row))?,
        rows => insert_all!(conn, messages::table, || rows, || FromJson::of(FROM_JSON, rows))?,
    };
    Ok(())
}

/// Removes the message of a task, if any.
pub fn remove(conn: &mut DbConnection, task_id: TaskId) -> DbResult<()> {
    diesel::delete(messages::table.filter(messages::id.eq(Id(task_id.0)))).execute(conn)?;
    Ok(())
}

/// At most `limit` messages after a number, in order: their numbers, texts and terms.
pub fn with_terms_after(
    conn: &mut DbConnection,
    sequence: i64,
    limit: i64,
) -> DbResult<Vec<(i64, String, String)>> {
    let found = messages::table
        .filter(messages::sequence.gt(sequence))
        .order(messages::sequence)
        .limit(limit)
        .select((messages::sequence, messages::message, messages::terms))
        .load(conn)?;
    Ok(found)
}

/// Sets the terms of a message, if it still exists.
pub fn set_terms(conn: &mut DbConnection, sequence: i64, terms: &str) -> DbResult<()> {
    let message = messages::table.find(sequence);
    diesel::update(message).set(messages::terms.eq(terms)).execute(conn)?;
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = messages)]
struct Row {
    sequence: i64,
    id: Id,
    user_id: Id,
    message: String,
    request_count: Option<i64>,
    category: String,
    created_at: NaiveDateTime,
}

impl TryFrom<Row> for TrackedMessage {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        Ok(Self {
            id: row.id.0,
            user_id: row.user_id.0,
            message: row.message,
            request_count: row
                .request_count
                .map(u64::try_from)
                .transpose()
                .map_err(DbError::corrupt)?,
            category: row.category.parse().map_err(DbError::corrupt)?,
            created_at: row.created_at.and_utc(),
            snippet: None,
        })
    }
}

/// The filter of a list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub category: Option<Category>,
    pub period: Period,
}

/// The order of a list, and the start of a page in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart {
    /// Newest first, after this message.
    Newest(Option<Cursor>),
    /// Best match first, after skipping so many.
    Best(u64),
}

/// At most `limit` messages of `user` before `before`, newest first.
pub fn list(
    conn: &mut DbConnection,
    user: UserId,
    filter: &Filter,
    before: Option<Cursor>,
    limit: i64,
) -> DbResult<Vec<TrackedMessage>> {
    let mut query = messages::table
        .filter(messages::user_id.eq(Id(user.0)))
        // Skipping messages of other versions only after the query would make a page look like the
        // last.
        .filter(messages::category.eq_any(Category::ALL.map(Category::as_str)))
        .order((messages::created_at.desc(), messages::id.desc()))
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(category) = filter.category {
        query = query.filter(messages::category.eq(category.as_str()));
    }
    if let Some(from) = filter.period.from {
        query = query.filter(messages::created_at.ge(moment(from)));
    }
    if let Some(to) = filter.period.to {
        query = query.filter(messages::created_at.lt(moment(to)));
    }
    if let Some(before) = before {
        query = query.filter(after_cursor!(before, messages::created_at, messages::id));
    }
    Ok(read(query.load(conn)?))
}

/// The readable ones of the rows; unreadable ones are logged and skipped.
fn read(rows: Vec<Row>) -> Vec<TrackedMessage> {
    let read = |row: Row| {
        let id = row.id.0;
        let log = |error: &DbError| {
            if log_once::is_first(format!("message {id}")) {
                warn!(message_id = %id, %error, "cannot read a message");
            }
        };
        TrackedMessage::try_from(row).inspect_err(log).ok()
    };
    rows.into_iter().filter_map(read).collect()
}

/// At most `limit` messages of `user` that match a search, with snippets.
pub fn search(
    conn: &mut DbConnection,
    user: UserId,
    search: &Search,
    filter: &Filter,
    start: PageStart,
    limit: i64,
) -> DbResult<Vec<TrackedMessage>> {
    if search.is_empty() {
        return Ok(Vec::new());
    }
    let (earliest, latest) = Period::bounds();
    let (before, offset) = match start {
        PageStart::Newest(before) => (before, 0),
        PageStart::Best(offset) => (None, offset),
    };
    let by = MessageQuery {
        terms: search.terms(),
        phrases: search.phrases(),
        user: Id(user.0),
        category: filter.category.map_or("", Category::as_str),
        from: moment(filter.period.from.unwrap_or(earliest)),
        to: moment(filter.period.to.unwrap_or(latest)),
        before: before
            .map_or((moment(latest), Id(Uuid::max())), |last| (moment(last.time), Id(last.id))),
        best_first: matches!(start, PageStart::Best(_)),
        offset,
        limit,
    };
    let sequences = find_messages(conn, &by)?;
    let mut rows: Vec<Row> = messages::table
        .filter(messages::sequence.eq_any(&sequences))
        .select(Row::as_select())
        .load(conn)?;
    let places: HashMap<i64, usize> = sequences.into_iter().zip(0..).collect();
    rows.sort_by_key(|row| places.get(&row.sequence).copied());
    let mut found = read(rows);
    for message in &mut found {
        message.snippet = Some(snippet::snippet(&message.message, search));
    }
    Ok(found)
}

/// The number of messages of a category on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub category: Category,
    pub date: NaiveDate,
    pub count: u64,
}

/// The numbers of messages of `user`, by category and day.
pub fn counts(conn: &mut DbConnection, user: UserId, period: Period) -> DbResult<Vec<Count>> {
    let (earliest, latest) = Period::bounds();
    let category = || sql::<Text>("category");
    let date = || sql::<Date>("DATE(created_at)");
    let rows: Vec<(String, NaiveDate, i64)> = messages::table
        .filter(messages::user_id.eq(Id(user.0)))
        .filter(messages::created_at.ge(moment(period.from.unwrap_or(earliest))))
        .filter(messages::created_at.lt(moment(period.to.unwrap_or(latest))))
        .filter(messages::category.eq_any(Category::ALL.map(Category::as_str)))
        .group_by((category(), date()))
        .select((category(), date(), diesel::dsl::count_star()))
        .load(conn)?;
    rows.into_iter()
        .map(|(category, date, count)| {
            let category = category.parse().map_err(DbError::corrupt)?;
            Ok(Count { category, date, count: u64::try_from(count).map_err(DbError::corrupt)? })
        })
        .collect()
}
