//! SQL on `users`. No function opens a transaction.

use common::task::UserId;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use super::credentials::Username;
use super::{Known, Role};
use crate::db::schema::{revoked_tokens, users};
use crate::db::{self, DbConnection, DbError, DbResult, Id};

/// Inserts a user; false where the name is taken or nobody's to take.
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
pub(super) fn find(conn: &mut DbConnection, name: &Username) -> DbResult<Option<(Known, String)>> {
    let found: Option<(Id, String, String)> = users::table
        .filter(users::username_key.eq(name.key()))
        .select((users::id, users::role, users::password_hash))
        .first(conn)
        .optional()?;
    found
        .map(|(id, role, hash)| {
            let role = role.parse().map_err(DbError::corrupt)?;
            Ok((Known { id: UserId(id.0), role }, hash))
        })
        .transpose()
}

/// What the user may do, where there is one and the token with this id was not revoked.
pub fn role_of(conn: &mut DbConnection, user: UserId, token: Uuid) -> DbResult<Option<Role>> {
    let revoked = revoked_tokens::table.find(Id(token));
    let role: Option<String> = users::table
        .find(Id(user.0))
        .filter(diesel::dsl::not(exists(revoked)))
        .select(users::role)
        .first(conn)
        .optional()?;
    role.map(|role| role.parse().map_err(DbError::corrupt)).transpose()
}
