//! Columns that are worked out from others are brought up to date after an upgrade.
//!
//! # Invariants
//! - Rows are read in batches outside of any transaction, and those that changed are written in a
//!   short one with the mark that says how far it is. A pass goes on from its mark after a restart,
//!   and several task managers share it: the mark moves by compare-and-swap.
//! - A new version of the reckoning begins with the first row; a version that is older than the
//!   mark's changes nothing.
//! - Each start goes on a little before the mark: while task managers are replaced one by one,
//!   older ones write rows, and the last one that is started finds them.
//!
//! # Not here
//! What the columns hold (`messages::terms`, `folding`).

mod store;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::db::{Database, DbConnection, DbResult};

/// Requests come first: the pass rests for so long after each batch.
const REST: Duration = Duration::from_millis(10);
/// How long to wait for a database that is not available.
const WAIT: Duration = Duration::from_secs(10);

/// A column that is worked out from others.
pub trait Column: 'static {
    /// What its mark is called.
    const NAME: &'static str;
    /// The version of the reckoning: with a greater one all rows are worked out anew.
    const VERSION: i32;
    /// A row that is not up to date, and its new value.
    type Change: Send + Sync + 'static;

    /// The next rows behind the one at `mark`; all of them behind an empty one.
    ///
    /// # Errors
    /// The database's.
    fn read(conn: &mut DbConnection, mark: &str) -> DbResult<Batch<Self::Change>>;

    /// Writes new values; rows that are gone meanwhile stay so.
    ///
    /// # Errors
    /// The database's.
    fn write(conn: &mut DbConnection, changes: &[Self::Change]) -> DbResult<()>;

    /// The mark of a row that is a little before the one at `mark`.
    fn before(mark: &str) -> String;
}

/// Rows of a table.
#[derive(Debug)]
pub struct Batch<T> {
    /// The mark of the last one; none where there are none.
    pub last: Option<String>,
    /// Those that are not up to date.
    pub changes: Vec<T>,
}

/// Brings a column up to date, once; waits for a database that is not available.
pub async fn run<C: Column>(db: Database, shutdown: CancellationToken) {
    let mut has_failed = false;
    loop {
        let result = tokio::select! {
            result = pass::<C>(&db) => result,
            () = shutdown.cancelled() => return,
        };
        let Err(error) = result else { return };
        if !has_failed {
            warn!(%error, column = C::NAME, "cannot be brought up to date yet; will retry");
        }
        has_failed = true;
        tokio::select! {
            () = tokio::time::sleep(WAIT) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Works the column out for all rows behind the mark.
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
        let read = db.read(|conn| match store::mark(conn, C::NAME, C::VERSION)? {
            Some(mark) => C::read(conn, &mark).map(|batch| Some((mark, batch))),
            None => Ok(None),
        });
        let Some((mark, Batch { last: Some(last), changes })) = read.await? else { break };
        let count = changes.len();
        let written = db.write(move |conn| {
            let moved = store::advance(conn, C::NAME, C::VERSION, &mark, &last)?;
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
