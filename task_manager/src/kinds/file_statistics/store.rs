//! SQL on `file_statistics`. No function opens a transaction.

use chrono::{NaiveDate, NaiveDateTime};
use common::file_statistics::{Encoding, FileStatistics, FileStatisticsRow};
use common::task::{TaskId, UserId};
use diesel::dsl::{exists, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde_json::Value;
use tracing::warn;

use super::report::{Group, Totals};
use crate::db::schema::file_statistics;
use crate::db::{DbConnection, DbError, DbResult, Id, moment};
use crate::log_once;
use crate::paging::{Cursor, PageSize, Period, after_cursor};

#[derive(Queryable, Selectable)]
#[diesel(table_name = file_statistics)]
struct Row {
    task_id: Id,
    file_name: String,
    size: i64,
    line_count: Option<i64>,
    word_count: Option<i64>,
    character_count: Option<i64>,
    content_type: String,
    encoding: String,
    sha256: String,
    created_at: NaiveDateTime,
}

impl TryFrom<Row> for FileStatisticsRow {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        Ok(Self {
            task_id: TaskId(row.task_id.0),
            statistics: FileStatistics {
                file_name: row.file_name,
                size: count(row.size)?,
                lines: row.line_count.map(count).transpose()?,
                words: row.word_count.map(count).transpose()?,
                characters: row.character_count.map(count).transpose()?,
                content_type: row.content_type,
                encoding: encoding(row.encoding)?,
                sha256: row.sha256,
            },
            created_at: row.created_at.and_utc(),
        })
    }
}

fn count(value: i64) -> DbResult<u64> {
    u64::try_from(value).map_err(DbError::corrupt)
}

fn signed(value: u64) -> DbResult<i64> {
    i64::try_from(value).map_err(DbError::corrupt)
}

fn encoding(name: String) -> DbResult<Encoding> {
    serde_json::from_value(Value::String(name)).map_err(DbError::corrupt)
}

fn encoding_name(encoding: Encoding) -> DbResult<String> {
    let name = serde_json::to_value(encoding).map_err(DbError::corrupt)?;
    serde_json::from_value(name).map_err(DbError::corrupt)
}

/// The readable ones of the rows; unreadable ones are logged and skipped.
fn rows(found: Vec<Row>) -> Vec<FileStatisticsRow> {
    let read = |row: Row| {
        let id = row.task_id.0;
        let log = |error: &DbError| {
            if log_once::is_first(format!("file statistics {id}")) {
                warn!(task_id = %id, %error, "cannot read a row of file_statistics");
            }
        };
        FileStatisticsRow::try_from(row).inspect_err(log).ok()
    };
    found.into_iter().filter_map(read).collect()
}

/// Inserts the row of a task that `owner` owns.
pub fn insert(conn: &mut DbConnection, owner: UserId, row: &FileStatisticsRow) -> DbResult<()> {
    let statistics = &row.statistics;
    let optional = |value: Option<u64>| value.map(signed).transpose();
    diesel::insert_into(file_statistics::table)
        .values((
            file_statistics::task_id.eq(Id(row.task_id.0)),
            file_statistics::owner.eq(Id(owner.0)),
            file_statistics::file_name.eq(&statistics.file_name),
            file_statistics::size.eq(signed(statistics.size)?),
            file_statistics::line_count.eq(optional(statistics.lines)?),
            file_statistics::word_count.eq(optional(statistics.words)?),
            file_statistics::character_count.eq(optional(statistics.characters)?),
            file_statistics::content_type.eq(&statistics.content_type),
            file_statistics::encoding.eq(encoding_name(statistics.encoding)?),
            file_statistics::sha256.eq(&statistics.sha256),
            file_statistics::created_at.eq(row.created_at.naive_utc()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes the row of a task, if any.
pub fn remove(conn: &mut DbConnection, task_id: TaskId) -> DbResult<()> {
    diesel::delete(file_statistics::table.find(Id(task_id.0))).execute(conn)?;
    Ok(())
}

/// Whether `owner` has any row.
pub fn has_any(conn: &mut DbConnection, owner: UserId) -> DbResult<bool> {
    let rows = file_statistics::table.filter(file_statistics::owner.eq(Id(owner.0)));
    Ok(diesel::select(exists(rows)).get_result(conn)?)
}

type Condition = Box<
    dyn BoxableExpression<
            file_statistics::table,
            <DbConnection as Connection>::Backend,
            SqlType = Bool,
        >,
>;

/// The rows of `owner` in `period`.
fn of(owner: UserId, period: Period) -> Condition {
    let mut condition: Condition = Box::new(file_statistics::owner.eq(Id(owner.0)));
    if let Some(from) = period.from {
        condition = Box::new(condition.and(file_statistics::created_at.ge(moment(from))));
    }
    if let Some(to) = period.to {
        condition = Box::new(condition.and(file_statistics::created_at.lt(moment(to))));
    }
    condition
}

/// At most `size` rows of `owner` in `period`, newest first, after `after`; and the cursor of the
/// next page, if there is one.
pub fn list(
    conn: &mut DbConnection,
    owner: UserId,
    period: Period,
    after: Option<Cursor>,
    size: PageSize,
) -> DbResult<(Vec<FileStatisticsRow>, Option<Cursor>)> {
    let mut query = file_statistics::table
        .filter(of(owner, period))
        .order((file_statistics::created_at.desc(), file_statistics::task_id.desc()))
        .limit(size.limit())
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = after {
        let (time, id) = (file_statistics::created_at, file_statistics::task_id);
        query = query.filter(after_cursor!(after, time, id));
    }
    let mut found: Vec<Row> = query.load(conn)?;
    let last = size.cut(&mut found);
    let next = last.map(|row| Cursor { time: row.created_at, id: row.task_id.0 });
    Ok((rows(found), next))
}

/// The `limit` largest files of `owner` in `period`.
pub fn largest(
    conn: &mut DbConnection,
    owner: UserId,
    period: Period,
    limit: i64,
) -> DbResult<Vec<FileStatisticsRow>> {
    let found = file_statistics::table
        .filter(of(owner, period))
        .order((file_statistics::size.desc(), file_statistics::task_id))
        .limit(limit)
        .select(Row::as_select())
        .load(conn)?;
    Ok(rows(found))
}

/// A sum as a 64-bit number; MySQL would return a decimal number.
macro_rules! total {
    ($column:literal) => {
        sql::<Nullable<BigInt>>(concat!("CAST(SUM(", $column, ") AS SIGNED)"))
    };
}

type GroupRow = (String, String, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// The totals of `owner` in `period`, by day and content type.
pub fn groups(conn: &mut DbConnection, owner: UserId, period: Period) -> DbResult<Vec<Group>> {
    let day = "CAST(DATE(created_at) AS CHAR)";
    let found: Vec<GroupRow> = file_statistics::table
        .filter(of(owner, period))
        .group_by((sql::<Text>(day), sql::<Text>("content_type")))
        .select((
            sql::<Text>(day),
            sql::<Text>("content_type"),
            diesel::dsl::count_star(),
            total!("size"),
            total!("line_count"),
            total!("word_count"),
            total!("character_count"),
        ))
        .load(conn)?;
    found.into_iter().map(group).collect()
}

fn group((day, content_type, files, size, lines, words, characters): GroupRow) -> DbResult<Group> {
    let sum = |sum: Option<i64>| count(sum.unwrap_or(0));
    Ok(Group {
        date: day.parse::<NaiveDate>().map_err(DbError::corrupt)?,
        content_type,
        totals: Totals {
            files: count(files)?,
            size: sum(size)?,
            lines: sum(lines)?,
            words: sum(words)?,
            characters: sum(characters)?,
        },
    })
}
