//! SQL on `audit`. No function opens a transaction.

use chrono::NaiveDateTime;
use common::task::UserId;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::{Action, Entry, RecordedEntry};
use crate::db::schema::{audit, users};
use crate::db::{DbConnection, DbResult, Id, moment};
use crate::paging::{Cursor, Period, after_cursor};

/// The longest detail that is stored, in characters.
const LONGEST_DETAIL: usize = 255;

/// Stores entries; those that are stored already are left as they are.
pub fn insert(conn: &mut DbConnection, entries: &[Entry]) -> DbResult<()> {
    for entry in entries {
        let detail = entry.detail.as_deref();
        let inserted = diesel::insert_into(audit::table)
            .values((
                audit::id.eq(Id(entry.id)),
                audit::at.eq(moment(entry.at)),
                audit::user_id.eq(entry.user.map(|user| Id(user.0))),
                audit::username.eq(entry.username.as_deref()),
                audit::address.eq(entry.address.map(|address| address.to_string())),
                audit::action.eq(entry.action.as_str()),
                audit::task_id.eq(entry.task.map(|task| Id(task.0))),
                audit::detail
                    .eq(detail.map(|text| text.chars().take(LONGEST_DETAIL).collect::<String>())),
            ))
            .execute(conn);
        match inserted {
            Ok(_) | Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The filter of a list of entries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub period: Period,
    pub user: Option<UserId>,
    /// Any action where empty.
    pub actions: Vec<Action>,
    /// Older than the last entry of the previous page.
    pub before: Option<Cursor>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit)]
struct AuditRow {
    id: Id,
    at: NaiveDateTime,
    user_id: Option<Id>,
    username: Option<String>,
    address: Option<String>,
    action: String,
    task_id: Option<Id>,
    detail: Option<String>,
}

/// At most `limit` entries, the newest first.
pub(super) fn list(
    conn: &mut DbConnection,
    filter: &Filter,
    limit: i64,
) -> DbResult<Vec<RecordedEntry>> {
    let mut query = audit::table
        .left_join(users::table.on(audit::user_id.eq(users::id.nullable())))
        .order((audit::at.desc(), audit::id.desc()))
        .limit(limit)
        .select((AuditRow::as_select(), users::username.nullable()))
        .into_boxed();
    if let Some(from) = filter.period.from {
        query = query.filter(audit::at.ge(moment(from)));
    }
    if let Some(to) = filter.period.to {
        query = query.filter(audit::at.lt(moment(to)));
    }
    if let Some(user) = filter.user {
        query = query.filter(audit::user_id.eq(Id(user.0)));
    }
    if !filter.actions.is_empty() {
        let names: Vec<_> = filter.actions.iter().map(|action| action.as_str()).collect();
        query = query.filter(audit::action.eq_any(names));
    }
    if let Some(before) = filter.before {
        query = query.filter(after_cursor!(before, audit::at, audit::id));
    }
    let found: Vec<(AuditRow, Option<String>)> = query.load(conn)?;
    let entries = found.into_iter().map(|(row, username)| RecordedEntry {
        id: row.id.0,
        at: row.at.and_utc(),
        user_id: row.user_id.map(|id| id.0),
        username: row.username.or(username),
        address: row.address,
        action: row.action,
        task_id: row.task_id.map(|id| id.0),
        detail: row.detail,
    });
    Ok(entries.collect())
}

/// Deletes the entries from before `before`.
pub(super) fn forget(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(audit::table.filter(audit::at.lt(moment(before)))).execute(conn)?;
    Ok(())
}
