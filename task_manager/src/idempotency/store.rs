//! SQL on `idempotency_keys`. No function opens a transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use super::StoredAnswer;
use crate::db::schema::idempotency_keys as keys;
use crate::db::{DbConnection, DbResult, Id};

/// The state of a key.
pub(super) enum Found {
    /// It was free, and is locked now.
    Locked,
    InProgress,
    Completed(StoredAnswer),
}

/// Locks the key for `holder` until `until` if it is free. Entries from before `oldest` have
/// expired.
pub(super) fn begin(
    conn: &mut DbConnection,
    id: &str,
    holder: Uuid,
    now: NaiveDateTime,
    until: NaiveDateTime,
    oldest: NaiveDateTime,
) -> DbResult<Found> {
    let is_over = keys::created_at.lt(oldest).and(keys::answer.is_not_null());
    diesel::delete(keys::table.find(id).filter(is_over)).execute(conn)?;
    // The lock of a request whose process died.
    let is_expired = keys::answer.is_null().and(keys::locked_until.lt(now));
    diesel::delete(keys::table.find(id).filter(is_expired)).execute(conn)?;
    let inserted = diesel::insert_into(keys::table)
        .values((
            keys::id.eq(id),
            keys::holder.eq(Id(holder)),
            keys::locked_until.eq(until),
            keys::created_at.eq(now),
        ))
        .execute(conn);
    match inserted {
        Ok(_) => return Ok(Found::Locked),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
        Err(error) => return Err(error.into()),
    }
    let found: Option<(Option<String>, Option<String>)> =
        keys::table.find(id).select((keys::fingerprint, keys::answer)).first(conn).optional()?;
    Ok(match found {
        Some((Some(fingerprint), Some(answer))) => {
            Found::Completed(StoredAnswer { fingerprint, answer })
        }
        // If it was deleted in the meantime, the next attempt detects it.
        _ => Found::InProgress,
    })
}

/// Extends the lock.
pub(super) fn renew(
    conn: &mut DbConnection,
    id: &str,
    holder: Uuid,
    until: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(keys::table.find(id).filter(keys::holder.eq(Id(holder))))
        .set(keys::locked_until.eq(until))
        .execute(conn)?;
    Ok(())
}

/// Stores the answer; false if `holder` has lost the lock.
pub(super) fn complete(
    conn: &mut DbConnection,
    id: &str,
    holder: Uuid,
    fingerprint: &str,
    answer: &str,
) -> DbResult<bool> {
    let held =
        keys::table.find(id).filter(keys::holder.eq(Id(holder))).filter(keys::answer.is_null());
    let updated = diesel::update(held)
        .set((keys::fingerprint.eq(fingerprint), keys::answer.eq(answer)))
        .execute(conn)?;
    Ok(updated == 1)
}

/// Frees the key, unless its request was answered after all.
pub(super) fn release(conn: &mut DbConnection, id: &str, holder: Uuid) -> DbResult<()> {
    let held =
        keys::table.find(id).filter(keys::holder.eq(Id(holder))).filter(keys::answer.is_null());
    diesel::delete(held).execute(conn)?;
    Ok(())
}

/// Frees every key whose request was not answered.
pub(super) fn delete_unanswered(conn: &mut DbConnection) -> DbResult<()> {
    diesel::delete(keys::table.filter(keys::answer.is_null())).execute(conn)?;
    Ok(())
}

/// Deletes entries from before `oldest` whose requests are not in progress.
pub(super) fn delete_old(
    conn: &mut DbConnection,
    now: NaiveDateTime,
    oldest: NaiveDateTime,
) -> DbResult<()> {
    let is_done = keys::answer.is_not_null().or(keys::locked_until.lt(now));
    diesel::delete(keys::table.filter(keys::created_at.lt(oldest)).filter(is_done))
        .execute(conn)?;
    Ok(())
}
