//! Queued tasks whose message got lost are put in the queue again. The queue is only a wake-up:
//! one message too many is refused by its dispatch number.

use std::time::Duration;

use common::queue::Publisher;
use common::task::{TaskId, TaskKind};
use tracing::info;

use super::relay::RelaySignal;
use super::store;
use crate::db::{self, Database, DbResult};

/// A message that was put in the queue less than this ago is not missed yet.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many tasks are dispatched again in one pass, so that a long queue is not doubled.
const BATCH: i64 = 1_000;

/// One pass: dispatches again what must have been lost. A message is only missed once a later one
/// of its kind was claimed, or the queue is empty: until then it may just wait its turn.
pub async fn pass(db: &Database, publisher: &Publisher, relay: &RelaySignal) -> DbResult<()> {
    for kind in TaskKind::ALL {
        let is_empty = matches!(publisher.depth(kind).await, Ok(0));
        let count = db
            .write(move |conn| {
                let now = db::now(conn)?;
                let mut before = now - PATIENCE;
                if !is_empty {
                    match store::latest_claimed(conn, kind)? {
                        Some(latest) => before = before.min(latest),
                        None => return Ok(0),
                    }
                }
                let lost = store::waiting_since(conn, kind, before, BATCH)?;
                for waiting in &lost {
                    store::dispatch_again(conn, kind, *waiting, now)?;
                }
                Ok(lost.len())
            })
            .await?;
        if count > 0 {
            info!(%kind, count, "dispatched again tasks whose messages got lost");
            relay.wake();
        }
    }
    Ok(())
}

/// Fills a queue that is empty because its process has just started.
pub async fn fill(db: &Database) -> DbResult<()> {
    let mut after: Option<TaskId> = None;
    loop {
        let last = db
            .write(move |conn| {
                let now = db::now(conn)?;
                let waiting = store::without_row(conn, after, BATCH)?;
                for (kind, waiting) in &waiting {
                    store::dispatch_again(conn, *kind, *waiting, now)?;
                }
                Ok(waiting.last().map(|(_, waiting)| waiting.id))
            })
            .await?;
        match last {
            Some(id) => after = Some(id),
            None => return Ok(()),
        }
    }
}
