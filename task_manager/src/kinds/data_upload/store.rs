//! SQL on `file_data` and `rejected_rows`. No function opens a transaction.

mod parameters;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::report::{LoadCheckpoint, RejectedRow};
use common::task::{Progress, TaskId};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Text};
use serde::Serialize;
use utoipa::ToSchema;

use self::parameters::Parameters;
use crate::db::schema::{file_data, rejected_rows, tasks};
use crate::db::{self, DbConnection, DbError, DbResult, Id, execute_cached};

/// MySQL's statement for the rejected rows of a batch.
const REJECTED_FROM_JSON: &str = "\
    INSERT INTO rejected_rows (task_id, `row`, line, column_name, value, reason) \
    SELECT ?, rejected.number, rejected.line, rejected.field, rejected.value, rejected.reason \
    FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
        number BIGINT PATH '$.row', \
        line BIGINT PATH '$.line', \
        field VARCHAR(1000) CHARACTER SET utf8mb4 PATH '$.column', \
        value VARCHAR(1000) CHARACTER SET utf8mb4 PATH '$.value', \
        reason VARCHAR(1000) CHARACTER SET utf8mb4 PATH '$.reason')) AS rejected";

/// No value is a default, so that SQLite accepts all records in one statement.
#[derive(Insertable)]
#[diesel(table_name = file_data, treat_none_as_default_value = false)]
struct FileRow<'a> {
    task_id: Id,
    row: i64,
    name: &'a str,
    email: &'a str,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

/// No value is a default here either: an absent value is null.
#[derive(Insertable)]
#[diesel(table_name = rejected_rows, treat_none_as_default_value = false)]
struct RejectedRecord<'a> {
    task_id: Id,
    row: i64,
    line: i64,
    column_name: Option<&'a str>,
    value: Option<&'a str>,
    reason: &'a str,
}

/// A row of a loaded file.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LoadedRow {
    /// The number of the row in the file, from 1, without the header.
    #[schema(example = 1)]
    pub row: u64,
    /// As in the file.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// As in the file.
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// When it was loaded, UTC.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, UTC.
    pub updated_at: DateTime<Utc>,
}

/// A row's number as the databases store it; batches with larger ones are refused.
fn signed(row: u64) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

fn number(row: i64) -> DbResult<u64> {
    u64::try_from(row).map_err(DbError::corrupt)
}

/// Inserts the rows of a batch.
pub fn insert(
    conn: &mut DbConnection,
    id: TaskId,
    rows: &[(u64, String, String)],
    rejected: &[RejectedRow],
    now: NaiveDateTime,
) -> DbResult<()> {
    let task_id = Id(id.0);
    if !rows.is_empty() {
        let records = || file_rows(task_id, rows, now);
        let parameters = || DbResult::Ok(Parameters { task_id, rows });
        db::insert_all!(conn, file_data::table, records, parameters)?;
    }
    if !rejected.is_empty() {
        let records = || rejected_records(task_id, rejected);
        let from_json = || -> DbResult<_> {
            let query = sql_query(REJECTED_FROM_JSON).bind::<Binary, _>(task_id);
            Ok(query.bind::<Text, _>(to_json(rejected)?))
        };
        db::insert_all!(conn, rejected_rows::table, records, from_json)?;
    }
    Ok(())
}

fn file_rows(task_id: Id, rows: &[(u64, String, String)], now: NaiveDateTime) -> Vec<FileRow<'_>> {
    rows.iter()
        .map(|(row, name, email)| FileRow {
            task_id,
            row: signed(*row),
            name,
            email,
            created_at: now,
            updated_at: now,
        })
        .collect()
}

fn rejected_records(task_id: Id, rejected: &[RejectedRow]) -> Vec<RejectedRecord<'_>> {
    rejected
        .iter()
        .map(|rejected| RejectedRecord {
            task_id,
            row: signed(rejected.row),
            line: signed(rejected.line),
            column_name: rejected.column.as_deref(),
            value: rejected.value.as_deref(),
            reason: &rejected.reason,
        })
        .collect()
}

fn to_json(value: &(impl Serialize + ?Sized)) -> DbResult<String> {
    serde_json::to_string(value).map_err(DbError::corrupt)
}

/// Sets the checkpoint of a load, and renews the lease of its attempt.
pub fn set_checkpoint(
    conn: &mut DbConnection,
    id: TaskId,
    checkpoint: &LoadCheckpoint,
    leased_until: NaiveDateTime,
) -> DbResult<()> {
    let checkpoint = to_json(checkpoint)?;
    let update = diesel::update(tasks::table.find(Id(id.0)))
        .set((tasks::checkpoint.eq(checkpoint), tasks::leased_until.eq(leased_until)));
    execute_cached!(conn, update)?;
    Ok(())
}

/// Sets the checkpoint of a load that is being rolled back.
pub fn set_rolled_back(
    conn: &mut DbConnection,
    id: TaskId,
    left: &LoadCheckpoint,
    progress: &Progress,
    now: NaiveDateTime,
) -> DbResult<()> {
    let (checkpoint, progress) = (to_json(left)?, to_json(progress)?);
    diesel::update(tasks::table.find(Id(id.0)))
        .set((
            tasks::checkpoint.eq(checkpoint),
            tasks::progress.eq(progress),
            tasks::changed_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes the rows of a task after number `after`, up to number `last`.
pub fn remove(conn: &mut DbConnection, id: TaskId, after: u64, last: u64) -> DbResult<()> {
    let (after, last) = (signed(after), signed(last));
    diesel::delete(file_data::table)
        .filter(file_data::task_id.eq(Id(id.0)))
        .filter(file_data::row.gt(after))
        .filter(file_data::row.le(last))
        .execute(conn)?;
    diesel::delete(rejected_rows::table)
        .filter(rejected_rows::task_id.eq(Id(id.0)))
        .filter(rejected_rows::row.gt(after))
        .filter(rejected_rows::row.le(last))
        .execute(conn)?;
    Ok(())
}

/// The highest number of a task's rows, loaded or rejected; 0 if it has none.
pub fn last_row(conn: &mut DbConnection, id: TaskId) -> DbResult<u64> {
    let loaded: Option<i64> = file_data::table
        .filter(file_data::task_id.eq(Id(id.0)))
        .select(max(file_data::row))
        .first(conn)?;
    let rejected: Option<i64> = rejected_rows::table
        .filter(rejected_rows::task_id.eq(Id(id.0)))
        .select(max(rejected_rows::row))
        .first(conn)?;
    number(loaded.max(rejected).unwrap_or(0))
}

/// At most `limit` loaded rows of a task after number `after`, in the order of the file.
pub fn rows(
    conn: &mut DbConnection,
    id: TaskId,
    after: u64,
    limit: i64,
) -> DbResult<Vec<LoadedRow>> {
    type Row = (i64, String, String, NaiveDateTime, NaiveDateTime);
    let found: Vec<Row> = file_data::table
        .filter(file_data::task_id.eq(Id(id.0)))
        .filter(file_data::row.gt(signed(after)))
        .order(file_data::row)
        .limit(limit)
        .select((
            file_data::row,
            file_data::name,
            file_data::email,
            file_data::created_at,
            file_data::updated_at,
        ))
        .load(conn)?;
    found
        .into_iter()
        .map(|(row, name, email, created_at, updated_at)| {
            Ok(LoadedRow {
                row: number(row)?,
                name,
                email,
                created_at: created_at.and_utc(),
                updated_at: updated_at.and_utc(),
            })
        })
        .collect()
}

/// At most `limit` rejected rows of a task after number `after`, in the order of the file.
pub fn rejected(
    conn: &mut DbConnection,
    id: TaskId,
    after: u64,
    limit: i64,
) -> DbResult<Vec<RejectedRow>> {
    type Row = (i64, i64, Option<String>, Option<String>, String);
    let found: Vec<Row> = rejected_rows::table
        .filter(rejected_rows::task_id.eq(Id(id.0)))
        .filter(rejected_rows::row.gt(signed(after)))
        .order(rejected_rows::row)
        .limit(limit)
        .select((
            rejected_rows::row,
            rejected_rows::line,
            rejected_rows::column_name,
            rejected_rows::value,
            rejected_rows::reason,
        ))
        .load(conn)?;
    found
        .into_iter()
        .map(|(row, line, column, value, reason)| {
            // The line is informative only: an invalid one must not hide the row.
            let line = u64::try_from(line).unwrap_or_default();
            Ok(RejectedRow { row: number(row)?, line, column, value, reason })
        })
        .collect()
}
