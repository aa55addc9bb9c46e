//! SQL on `locks`. No function opens a transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use crate::db::schema::locks;
use crate::db::{DbConnection, DbResult, Id};

/// Takes a lock until `until`, or renews it; false where another one holds it.
pub(super) fn take(
    conn: &mut DbConnection,
    name: &str,
    holder: Uuid,
    now: NaiveDateTime,
    until: NaiveDateTime,
) -> DbResult<bool> {
    let is_free = locks::holder.eq(Id(holder)).or(locks::locked_until.lt(now));
    let taken = diesel::update(locks::table.find(name).filter(is_free))
        .set((locks::holder.eq(Id(holder)), locks::locked_until.eq(until)))
        .execute(conn)?;
    if taken == 1 {
        return Ok(true);
    }
    let inserted = diesel::insert_into(locks::table)
        .values((locks::name.eq(name), locks::holder.eq(Id(holder)), locks::locked_until.eq(until)))
        .execute(conn);
    match inserted {
        Ok(_) => Ok(true),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Frees all locks.
pub(super) fn free_all(conn: &mut DbConnection) -> DbResult<()> {
    diesel::delete(locks::table).execute(conn)?;
    Ok(())
}
