//! The registry of workers: who reported lately.

pub mod last_seen;
pub mod store;

pub use store::WorkerView;

use std::time::Duration;

use crate::db::{self, Database, DbResult};

/// A worker that was silent for longer is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Forgets workers that are long gone.
pub async fn forget_gone(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - FORGET_AFTER;
        store::forget(conn, before)
    })
    .await
}
