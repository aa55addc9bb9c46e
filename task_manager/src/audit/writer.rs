//! Writes entries to the table after the fact, many at a time.
//!
//! # Invariants
//! - No request waits for the table. If it is behind by so many entries that the queue is full,
//!   further ones are only in the log.
//! - A server that stops writes what is in the queue.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Entry, store};
use crate::db::Database;

/// How many entries one transaction writes.
const BATCH: usize = 100;
/// How long to wait before writing again while the database is not available.
const RETRY: Duration = Duration::from_secs(1);

/// Writes until all senders are gone, and gives up a failing database after `shutdown`.
pub(super) async fn run(db: Database, mut queue: Receiver<Entry>, shutdown: CancellationToken) {
    let mut entries = Vec::new();
    while queue.recv_many(&mut entries, BATCH).await > 0 {
        let batch = std::mem::take(&mut entries);
        loop {
            let inserted = batch.clone();
            match db.write(move |conn| store::insert(conn, &inserted)).await {
                Ok(()) => break,
                Err(error) if error.is_unavailable() && !shutdown.is_cancelled() => {
                    warn!(%error, "the audit table cannot be written, will retry");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    error!(%error, entries = batch.len(), "audit entries are only in the log");
                    break;
                }
            }
        }
    }
}
