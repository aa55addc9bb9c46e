//! SQL on `schedules`. No function opens a transaction.

use chrono::NaiveDateTime;
use common::task::{TaskId, UserId};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::Schedule;
use super::document::CheckedSchedule;
use crate::db::schema::schedules;
use crate::db::{DbConnection, DbError, DbResult, Id, moment_or_null};

#[derive(Queryable, Selectable)]
#[diesel(table_name = schedules)]
struct Row {
    name: String,
    cron: String,
    time_zone: String,
    enabled: bool,
    recipients: String,
    next_due: Option<NaiveDateTime>,
    last_run_at: Option<NaiveDateTime>,
    last_task_id: Option<Id>,
    owner: Option<Id>,
}

impl From<Row> for Schedule {
    fn from(row: Row) -> Self {
        let recipients = serde_json::from_str(&row.recipients)
            .map_err(|error| format!("its recipients are unreadable: {error}"));
        Self {
            name: row.name,
            owner: row.owner.map(|id| UserId(id.0)),
            cron: row.cron,
            time_zone: row.time_zone,
            enabled: row.enabled,
            recipients,
            next_due: row.next_due,
            last_run_at: row.last_run_at,
            last_task_id: row.last_task_id.map(|id| TaskId(id.0)),
        }
    }
}

/// All schedules, by name.
pub(super) fn list(conn: &mut DbConnection) -> DbResult<Vec<Schedule>> {
    let rows = schedules::table.order(schedules::name).select(Row::as_select()).load(conn)?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// The schedule of this name.
pub(super) fn find(conn: &mut DbConnection, name: &str) -> DbResult<Option<Schedule>> {
    let row = schedules::table.find(name).select(Row::as_select()).first(conn).optional()?;
    Ok(row.map(Schedule::from))
}

/// The enabled schedules that are due, or have no due time yet.
pub(super) fn due(conn: &mut DbConnection, now: NaiveDateTime) -> DbResult<Vec<Schedule>> {
    let rows = schedules::table
        .filter(schedules::enabled.eq(true))
        .filter(schedules::next_due.is_null().or(schedules::next_due.le(now)))
        .order(schedules::name)
        .select(Row::as_select())
        .load(conn)?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// Creates or replaces a schedule.
pub(super) fn put(
    conn: &mut DbConnection,
    schedule: &CheckedSchedule,
    owner: UserId,
    next_due: Option<NaiveDateTime>,
) -> DbResult<()> {
    let recipients = serde_json::to_string(&schedule.recipients).map_err(DbError::corrupt)?;
    let values = (
        schedules::cron.eq(&schedule.cron),
        schedules::time_zone.eq(&schedule.time_zone),
        schedules::enabled.eq(schedule.enabled),
        schedules::recipients.eq(&recipients),
        schedules::next_due.eq(moment_or_null(next_due)),
        schedules::owner.eq(Id(owner.0)),
    );
    let inserted = diesel::insert_into(schedules::table)
        .values((schedules::name.eq(&schedule.name), values.clone()))
        .execute(conn);
    match inserted {
        Ok(_) => Ok(()),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            diesel::update(schedules::table.find(&schedule.name)).set(values).execute(conn)?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a schedule; false if it does not exist.
pub(super) fn delete(conn: &mut DbConnection, name: &str) -> DbResult<bool> {
    Ok(diesel::delete(schedules::table.find(name)).execute(conn)? == 1)
}

/// Moves an enabled schedule from its due time to `next` by compare-and-swap: true for only one of
/// concurrent callers.
pub(super) fn advance(
    conn: &mut DbConnection,
    schedule: &Schedule,
    next: Option<NaiveDateTime>,
) -> DbResult<bool> {
    let enabled = schedules::table.find(&schedule.name).filter(schedules::enabled.eq(true));
    let next = schedules::next_due.eq(moment_or_null(next));
    let moved = match schedule.next_due {
        Some(from) => {
            diesel::update(enabled.filter(schedules::next_due.eq(moment_or_null(Some(from)))))
                .set(next)
                .execute(conn)?
        }
        None => {
            diesel::update(enabled.filter(schedules::next_due.is_null())).set(next).execute(conn)?
        }
    };
    Ok(moved == 1)
}

/// Records the last run.
pub(super) fn note_run(
    conn: &mut DbConnection,
    name: &str,
    task_id: TaskId,
    now: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(schedules::table.find(name))
        .set((schedules::last_run_at.eq(now), schedules::last_task_id.eq(Id(task_id.0))))
        .execute(conn)?;
    Ok(())
}
