//! The registry of workers that reported recently.

pub mod last_seen;
pub mod store;

pub use store::WorkerView;

use std::time::Duration;

use crate::db::{self, Database, DbResult};

/// A worker that has been silent for longer is removed.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Removes workers that have been silent for long.
pub async fn forget_gone(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - FORGET_AFTER;
        store::forget(conn, before)
    })
    .await
}
