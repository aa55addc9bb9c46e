//! SQL on `backfills`. No function opens a transaction.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::db::schema::backfills;
use crate::db::{DbConnection, DbResult};

/// Moves the bookmark of a column back by `before`, or to the beginning if an older version or none
/// has set it; false if a newer version has.
pub(super) fn begin(
    conn: &mut DbConnection,
    name: &str,
    version: i32,
    before: impl Fn(&str) -> String,
) -> DbResult<bool> {
    let found: Option<(i32, String)> = backfills::table
        .find(name)
        .select((backfills::version, backfills::done_to))
        .first(conn)
        .optional()?;
    let Some((found, bookmark)) = found else {
        let row =
            (backfills::name.eq(name), backfills::version.eq(version), backfills::done_to.eq(""));
        return match diesel::insert_into(backfills::table).values(row).execute(conn) {
            // Another task manager was faster.
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(true),
            inserted => Ok(inserted.map(|_| true)?),
        };
    };
    if found > version {
        return Ok(false);
    }
    let bookmark = if found == version { before(&bookmark) } else { String::new() };
    diesel::update(backfills::table.find(name))
        .set((backfills::version.eq(version), backfills::done_to.eq(bookmark)))
        .execute(conn)?;
    Ok(true)
}

/// The bookmark of this version; none if a newer version has started.
pub(super) fn bookmark(
    conn: &mut DbConnection,
    name: &str,
    version: i32,
) -> DbResult<Option<String>> {
    let bookmark = backfills::table
        .find(name)
        .filter(backfills::version.eq(version))
        .select(backfills::done_to)
        .first(conn)
        .optional()?;
    Ok(bookmark)
}

/// Moves the bookmark by compare-and-swap: true for only one of concurrent callers.
pub(super) fn advance(
    conn: &mut DbConnection,
    name: &str,
    version: i32,
    from: &str,
    to: &str,
) -> DbResult<bool> {
    let moved = diesel::update(backfills::table.find(name))
        .filter(backfills::version.eq(version))
        .filter(backfills::done_to.eq(from))
        .set(backfills::done_to.eq(to))
        .execute(conn)?;
    Ok(moved == 1)
}
