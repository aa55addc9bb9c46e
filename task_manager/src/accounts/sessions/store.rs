//! SQL on `revoked_tokens`. No function opens a transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::tokens::Session;
use crate::db::schema::revoked_tokens;
use crate::db::{DbConnection, DbResult, Id};

/// Revokes a token; idempotent.
pub(super) fn revoke(conn: &mut DbConnection, session: Session) -> DbResult<()> {
    let inserted = diesel::insert_into(revoked_tokens::table)
        .values((
            revoked_tokens::jti.eq(Id(session.id)),
            revoked_tokens::user_id.eq(Id(session.user.0)),
            revoked_tokens::expires_at.eq(session.expires_at.naive_utc()),
        ))
        .execute(conn);
    match inserted {
        Ok(_) | Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the revocations of tokens that expired before `before`.
pub(super) fn forget_expired(conn: &mut DbConnection, before: NaiveDateTime) -> DbResult<()> {
    diesel::delete(revoked_tokens::table.filter(revoked_tokens::expires_at.lt(before)))
        .execute(conn)?;
    Ok(())
}
