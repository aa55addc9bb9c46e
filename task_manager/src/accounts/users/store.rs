//! SQL on `users`. No function opens a transaction.

use std::collections::{BTreeSet, HashMap};

use common::task::UserId;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Bool, Nullable, Text};
use uuid::Uuid;

use super::credentials::Username;
use super::{FoundUser, Role};
use crate::accounts::sessions::tokens::is_listed;
use crate::db::schema::{revoked_tokens, users};
use crate::db::{self, DbConnection, DbResult, Id, on_either, one_of};

/// Inserts a user; false if the name is taken or reserved.
pub(super) fn insert(
    conn: &mut DbConnection,
    id: Uuid,
    name: &Username,
    password_hash: &str,
    role: Role,
) -> DbResult<bool> {
    if name.is_reserved() {
        return Ok(false);
    }
    let now = db::now(conn)?;
    let inserted = diesel::insert_into(users::table)
        .values((
            users::id.eq(Id(id)),
            users::username.eq(name.as_str()),
            users::username_key.eq(name.key()),
            users::password_hash.eq(password_hash),
            users::role.eq(role.as_str()),
            users::created_at.eq(now),
        ))
        .execute(conn);
    match inserted {
        Ok(_) => Ok(true),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The user of this name.
pub(super) fn find(conn: &mut DbConnection, name: &Username) -> DbResult<Option<FoundUser>> {
    let found: Option<(Id, String, bool)> = users::table
        .filter(users::username_key.eq(name.key()))
        .select((users::id, users::password_hash, users::disabled))
        .first(conn)
        .optional()?;
    Ok(found.map(|(id, password_hash, is_disabled)| FoundUser {
        id: UserId(id.0),
        password_hash,
        is_disabled,
    }))
}

/// Notes a login by a password with this hash; false if the password was changed or the user
/// disabled in the meantime.
pub fn note_login(conn: &mut DbConnection, user: UserId, password_hash: &str) -> DbResult<bool> {
    let now = db::now(conn)?;
    let noted = diesel::update(users::table.find(Id(user.0)))
        .filter(users::password_hash.eq(password_hash))
        .filter(users::disabled.eq(false))
        .set(users::last_login_at.eq(now))
        .execute(conn)?;
    Ok(noted > 0)
}

/// Replaces the hash of a password; false if the user does not exist. The rows of sessions are the
/// caller's.
pub fn set_password_hash(conn: &mut DbConnection, user: UserId, hash: &str) -> DbResult<bool> {
    let changed = diesel::update(users::table.find(Id(user.0)))
        .set((users::password_hash.eq(hash), users::unlisted_sessions_ended.eq(true)))
        .execute(conn)?;
    Ok(changed > 0)
}

/// Changes what a user may do; false if the user does not exist.
pub fn set_role(conn: &mut DbConnection, user: UserId, role: Role) -> DbResult<bool> {
    let changed = diesel::update(users::table.find(Id(user.0)))
        .set(users::role.eq(role.as_str()))
        .execute(conn)?;
    Ok(changed > 0)
}

/// Disables or enables a user; false if the user does not exist. The rows of sessions are the
/// caller's.
pub fn set_disabled(conn: &mut DbConnection, user: UserId, is_disabled: bool) -> DbResult<bool> {
    let user = users::table.find(Id(user.0));
    let changed = match is_disabled {
        true => diesel::update(user)
            .set((users::disabled.eq(true), users::unlisted_sessions_ended.eq(true)))
            .execute(conn)?,
        false => diesel::update(user).set(users::disabled.eq(false)).execute(conn)?,
    };
    Ok(changed > 0)
}

/// Whether the user is disabled.
pub fn is_disabled(conn: &mut DbConnection, user: UserId) -> DbResult<bool> {
    let found = users::table.find(Id(user.0)).select(users::disabled).first(conn).optional()?;
    Ok(found.unwrap_or(false))
}

/// The name of a user, as it was given.
pub(super) fn name_of(conn: &mut DbConnection, user: UserId) -> DbResult<Option<String>> {
    let name = users::table.find(Id(user.0)).select(users::username).first(conn).optional()?;
    Ok(name)
}

/// The oldest administrator who is not disabled, if any.
pub fn first_administrator(conn: &mut DbConnection) -> DbResult<Option<UserId>> {
    let first: Option<Id> = users::table
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::disabled.eq(false))
        .order((users::created_at, users::id))
        .select(users::id)
        .first(conn)
        .optional()?;
    Ok(first.map(|id| UserId(id.0)))
}

/// The names of those of the users that exist.
pub fn names(conn: &mut DbConnection, ids: &[Id]) -> DbResult<HashMap<UserId, String>> {
    let found: Vec<(Id, String)> = on_either!(conn, |conn| users::table
        .filter(one_of(users::id, ids))
        .select((users::id, users::username))
        .load(conn))?;
    Ok(found.into_iter().map(|(id, name)| (UserId(id.0), name)).collect())
}

/// The roles of the users of `tokens`; none for an unknown or disabled user, or an ended session.
pub fn roles_of(conn: &mut DbConnection, tokens: &[(UserId, Uuid)]) -> DbResult<Vec<Option<Role>>> {
    let distinct = |ids: &mut dyn Iterator<Item = Uuid>| -> Vec<Id> {
        ids.collect::<BTreeSet<_>>().into_iter().map(Id).collect()
    };
    let user_ids = distinct(&mut tokens.iter().map(|(user, _)| user.0));
    let token_ids = distinct(&mut tokens.iter().map(|(_, token)| *token));
    // Every request runs this, so it is one statement: a revoked token has no role.
    let revoked = revoked_tokens::table.filter(one_of(revoked_tokens::jti, &token_ids)).select((
        revoked_tokens::jti,
        None::<String>.into_sql::<Nullable<Text>>(),
        false.into_sql::<Bool>(),
    ));
    let both = users::table
        .filter(one_of(users::id, &user_ids))
        .filter(users::disabled.eq(false))
        .select((users::id, users::role.nullable(), users::unlisted_sessions_ended))
        .union_all(revoked);
    let found: Vec<(Id, Option<String>, bool)> = on_either!(conn, |conn| both.load(conn))?;
    let role = |(user, token): &(UserId, Uuid)| {
        let row_of = |id: Uuid| found.iter().find(|(found, _, _)| found.0 == id);
        let (_, role, only_listed) = row_of(user.0)?;
        if row_of(*token).is_some() || (*only_listed && !is_listed(*token)) {
            return None;
        }
        // A role of another version may permit less than ours, so it permits nothing here.
        role.as_deref()?.parse().ok()
    };
    Ok(tokens.iter().map(role).collect())
}
