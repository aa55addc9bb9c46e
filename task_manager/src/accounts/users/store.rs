//! SQL on `users`. No function opens a transaction.

use std::collections::BTreeSet;

use common::task::UserId;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Nullable, Text};
use uuid::Uuid;

use super::Role;
use super::credentials::Username;
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

/// The user of this name, with the hash of the password.
pub(super) fn find(conn: &mut DbConnection, name: &Username) -> DbResult<Option<(UserId, String)>> {
    let found: Option<(Id, String)> = users::table
        .filter(users::username_key.eq(name.key()))
        .select((users::id, users::password_hash))
        .first(conn)
        .optional()?;
    Ok(found.map(|(id, hash)| (UserId(id.0), hash)))
}

/// The name of a user, as it was given.
pub(super) fn name_of(conn: &mut DbConnection, user: UserId) -> DbResult<Option<String>> {
    let name = users::table.find(Id(user.0)).select(users::username).first(conn).optional()?;
    Ok(name)
}

/// The oldest administrator, if any.
pub fn first_administrator(conn: &mut DbConnection) -> DbResult<Option<UserId>> {
    let first: Option<Id> = users::table
        .filter(users::role.eq(Role::Admin.as_str()))
        .order((users::created_at, users::id))
        .select(users::id)
        .first(conn)
        .optional()?;
    Ok(first.map(|id| UserId(id.0)))
}

/// The roles of the users of `tokens`; none for an unknown user or a revoked token.
pub fn roles_of(conn: &mut DbConnection, tokens: &[(UserId, Uuid)]) -> DbResult<Vec<Option<Role>>> {
    let distinct = |ids: &mut dyn Iterator<Item = Uuid>| -> Vec<Id> {
        ids.collect::<BTreeSet<_>>().into_iter().map(Id).collect()
    };
    let user_ids = distinct(&mut tokens.iter().map(|(user, _)| user.0));
    let token_ids = distinct(&mut tokens.iter().map(|(_, token)| *token));
    // Every request runs this, so it is one statement: a revoked token has no role.
    let revoked = revoked_tokens::table
        .filter(one_of(revoked_tokens::jti, &token_ids))
        .select((revoked_tokens::jti, None::<String>.into_sql::<Nullable<Text>>()));
    let both = users::table
        .filter(one_of(users::id, &user_ids))
        .select((users::id, users::role.nullable()))
        .union_all(revoked);
    let found: Vec<(Id, Option<String>)> = on_either!(conn, |conn| both.load(conn))?;
    let role = |(user, token): &(UserId, Uuid)| {
        let role_of =
            |id: Uuid| found.iter().find(|(found, _)| found.0 == id).map(|(_, role)| role);
        let role = role_of(user.0).and_then(Option::as_deref);
        let role = role.filter(|_| role_of(*token).is_none());
        // A role of another version may permit less than ours, so it permits nothing here.
        role.and_then(|role| role.parse().ok())
    };
    Ok(tokens.iter().map(role).collect())
}
