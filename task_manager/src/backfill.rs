//! Backfills: derived columns are brought up to date after an upgrade.
//!
//! # Invariants
//! - Rows are read in batches outside of any transaction. Those that changed are written in a short
//!   transaction together with a bookmark. A pass resumes at its bookmark after a restart. Several
//!   task managers share it: the bookmark moves by compare-and-swap.
//! - A new version of the derivation starts at the first row; a version older than the bookmark's
//!   changes nothing.
//! - Each start resumes a little before the bookmark: during a rolling upgrade older task managers
//!   still write rows, and the last one that starts finds them.
//!
//! # Not here
//! The contents of the columns (`kinds::message_validation::terms`, `folding`).

mod store;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::db::{Database, DbConnection, DbResult};

/// The pause after each batch, so that requests come first.
const REST: Duration = Duration::from_millis(10);
/// How long to wait for a database that is not available.
const WAIT: Duration = Duration::from_secs(10);

/// A derived column.
pub trait Column: 'static {
    /// The name of its bookmark.
    const NAME: &'static str;
    /// The version of the derivation: a greater one recomputes all rows.
    const VERSION: i32;
    /// An outdated row and its new value.
    type Change: Send + Sync + 'static;

    /// The rows after the given bookmark; an empty one starts with the first row.
    ///
    /// # Errors
    /// The database failed.
    fn read(conn: &mut DbConnection, bookmark: &str) -> DbResult<Batch<Self::Change>>;

    /// Writes new values; rows deleted in the meantime stay deleted.
    ///
    /// # Errors
    /// The database failed.
    fn write(conn: &mut DbConnection, changes: &[Self::Change]) -> DbResult<()>;

    /// The bookmark of a row a little before the one at `bookmark`.
    fn before(bookmark: &str) -> String;
}

/// Rows of a table.
#[derive(Debug)]
pub struct Batch<T> {
    /// The bookmark of the last row, if there are rows.
    pub last: Option<String>,
    /// The outdated ones.
    pub changes: Vec<T>,
}

/// Brings a column up to date once; waits while the database is not available.
pub async fn run<C: Column>(db: Database, shutdown: CancellationToken) {
    let mut has_failed = false;
    loop {
        let result = tokio::select! {
            result = pass::<C>(&db) => result,
            () = shutdown.cancelled() => return,
        };
        let Err(error) = result else { return };
        if !has_failed {
            warn!(%error, column = C::NAME, "cannot bring the column up to date, will retry");
        }
        has_failed = true;
        tokio::select! {
            () = tokio::time::sleep(WAIT) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Recomputes the column for all rows after the bookmark.
///
/// # Errors
/// The database is not available.
pub async fn pass<C: Column>(db: &Database) -> DbResult<()> {
    let begun = db.write(|conn| store::begin(conn, C::NAME, C::VERSION, C::before)).await?;
    if !begun {
        return Ok(());
    }
    let mut changed = 0;
    loop {
        let read = db.read(|conn| match store::bookmark(conn, C::NAME, C::VERSION)? {
            Some(bookmark) => C::read(conn, &bookmark).map(|batch| Some((bookmark, batch))),
            None => Ok(None),
        });
        let Some((bookmark, Batch { last: Some(last), changes })) = read.await? else { break };
        let count = changes.len();
        let written = db.write(move |conn| {
            let moved = store::advance(conn, C::NAME, C::VERSION, &bookmark, &last)?;
            if moved {
                C::write(conn, &changes)?;
            }
            Ok(moved)
        });
        if written.await? {
            changed += count;
        }
        tokio::time::sleep(REST).await;
    }
    if changed > 0 {
        info!(column = C::NAME, rows = changed, "brought up to date");
    }
    Ok(())
}
