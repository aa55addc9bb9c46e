//! SQL on `users` and what they have. No function opens a transaction.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use common::task::UserId;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use uuid::Uuid;

use super::ListedUser;
use crate::accounts::users::Role;
use crate::db::schema::{tasks, users};
use crate::db::{DbConnection, DbResult, Id, locked, on_either, one_of};
use crate::paging::{Cursor, after_cursor};

/// The bytes of a group of tasks: their inputs, and results that are recorded in valid JSON.
const BYTES: &str = "COALESCE(SUM(CASE WHEN files_removed THEN 0 ELSE COALESCE(size, 0) \
                     + COALESCE(CASE WHEN JSON_VALID(output) THEN JSON_EXTRACT(output, '$.size') \
                     END, 0) END), 0)";

/// The filter of a list of users.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of the name, in any case.
    pub text: Option<String>,
    /// Older than the last user of the previous page.
    pub before: Option<Cursor>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
struct UserRow {
    id: Id,
    username: String,
    role: String,
    disabled: bool,
    created_at: NaiveDateTime,
    last_login_at: Option<NaiveDateTime>,
}

impl UserRow {
    /// Without its usage.
    fn listed(self) -> ListedUser {
        ListedUser {
            user_id: self.id.0,
            username: self.username,
            role: self.role,
            disabled: self.disabled,
            created_at: self.created_at.and_utc(),
            last_login_at: self.last_login_at.map(|time| time.and_utc()),
            tasks: 0,
            bytes_stored: 0,
        }
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The position of a text in another one, from 1; 0 if it does not occur. There are no
    /// wildcards.
    fn instr(text: Text, part: Text) -> BigInt;
}

/// At most `limit` users, the newest first, without their usage.
pub(super) fn list(
    conn: &mut DbConnection,
    filter: &Filter,
    limit: i64,
) -> DbResult<Vec<ListedUser>> {
    let mut query = users::table
        .order((users::created_at.desc(), users::id.desc()))
        .limit(limit)
        .select(UserRow::as_select())
        .into_boxed();
    if let Some(text) = &filter.text {
        query = query.filter(instr(users::username_key, text.to_ascii_lowercase()).gt(0));
    }
    if let Some(before) = filter.before {
        query = query.filter(after_cursor!(before, users::created_at, users::id));
    }
    Ok(query.load(conn)?.into_iter().map(UserRow::listed).collect())
}

/// The user without its usage; empty if there is none.
pub(super) fn find(conn: &mut DbConnection, user: UserId) -> DbResult<Vec<ListedUser>> {
    let found: Vec<UserRow> =
        users::table.find(Id(user.0)).select(UserRow::as_select()).load(conn)?;
    Ok(found.into_iter().map(UserRow::listed).collect())
}

/// Those of the users who are enabled administrators; locks the rows of all of them until the
/// transaction ends, in the order of their ids.
pub(super) fn lock_administrators(
    conn: &mut DbConnection,
    users: &[UserId],
) -> DbResult<Vec<UserId>> {
    let ids: Vec<Id> = users.iter().map(|user| Id(user.0)).collect();
    let query = users::table.filter(users::id.eq_any(&ids)).order(users::id).select((
        users::id,
        users::role,
        users::disabled,
    ));
    let rows = locked!(conn, query, (Id, String, bool))?;
    let is_administrator =
        |(_, role, is_disabled): &(Id, String, bool)| role == Role::Admin.as_str() && !is_disabled;
    Ok(rows.into_iter().filter(is_administrator).map(|(id, ..)| UserId(id.0)).collect())
}

/// Adds how many tasks the users have, and their bytes.
pub(super) fn with_usage(
    conn: &mut DbConnection,
    mut listed: Vec<ListedUser>,
) -> DbResult<Vec<ListedUser>> {
    let ids: Vec<Id> = listed.iter().map(|user| Id(user.user_id)).collect();
    let by_owner = tasks::table
        .filter(one_of(tasks::owner, &ids))
        .filter(tasks::deleted.eq(false))
        .group_by(tasks::owner)
        .select((
            tasks::owner,
            sql::<BigInt>("COUNT(*)"),
            sql::<BigInt>(&format!("CAST({BYTES} AS SIGNED)")),
        ));
    let found: Vec<(Id, i64, i64)> = on_either!(conn, |conn| by_owner.load(conn))?;
    let usage: HashMap<Uuid, (i64, i64)> =
        found.into_iter().map(|(id, tasks, bytes)| (id.0, (tasks, bytes))).collect();
    for user in &mut listed {
        let (tasks, bytes) = usage.get(&user.user_id).copied().unwrap_or_default();
        user.tasks = u64::try_from(tasks).unwrap_or_default();
        user.bytes_stored = u64::try_from(bytes).unwrap_or_default();
    }
    Ok(listed)
}
