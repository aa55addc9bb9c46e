//! The relay: brings due outbox rows to the queue.

use std::sync::Arc;
use std::time::Duration;

use common::queue::{Message, Publisher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::store;
use crate::db::{self, Database, DbResult};

/// How many rows are published at once.
const BATCH: i64 = 500;
/// How long rows are this relay's; when it dies, another one takes them after this time.
const LOCK: Duration = Duration::from_secs(30);
/// How long rows wait that the queue did not take.
const RETRY: Duration = Duration::from_secs(1);
/// How long the relay sleeps at the most: what a notification did not tell, polling finds.
const POLL: Duration = Duration::from_millis(500);

/// Wakes the relay early. Clones wake the same one.
#[derive(Debug, Clone, Default)]
pub struct RelaySignal(Arc<Notify>);

impl RelaySignal {
    /// There is something to publish.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Publishes until `shutdown`.
pub async fn run(
    db: Database,
    publisher: Publisher,
    signal: RelaySignal,
    shutdown: CancellationToken,
) {
    let mut is_away = false;
    let mut has_failed = false;
    while !shutdown.is_cancelled() {
        let pass = match publish_due(&db, &publisher).await {
            Ok(pass) => {
                if std::mem::take(&mut has_failed) {
                    info!("the outbox is read again");
                }
                pass
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    error!(%error, "the outbox cannot be read now; trying on");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        match (&pass.refused, is_away) {
            (Some(reason), false) => {
                warn!(
                    "the {} takes no messages; accepted tasks wait in the outbox: {reason}",
                    publisher.name()
                );
                is_away = true;
            }
            (None, true) if pass.is_full || publisher.check().await.is_ok() => {
                info!("the {} takes messages again", publisher.name());
                is_away = false;
            }
            _ => {}
        }
        if !pass.is_full {
            tokio::select! {
                () = tokio::time::sleep(pass.idle) => {}
                () = signal.0.notified() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

struct Pass {
    refused: Option<String>,
    is_full: bool,
    idle: Duration,
}

async fn publish_due(db: &Database, publisher: &Publisher) -> DbResult<Pass> {
    let (due, idle) = db
        .write(|conn| {
            let now = db::now(conn)?;
            let due = store::lease_due(conn, now, now + LOCK, BATCH)?;
            let next = store::next_due(conn)?.map_or(POLL, |next| {
                (next - now).to_std().unwrap_or(POLL).clamp(Duration::from_millis(10), POLL)
            });
            Ok((due, next))
        })
        .await?;
    if due.is_empty() {
        return Ok(Pass { refused: None, is_full: false, idle });
    }
    let confirms = publisher.publish(&due).await;
    let mut confirmed: Vec<Message> = Vec::new();
    let mut refused: Vec<Message> = Vec::new();
    let mut reason = None;
    for ((_, message), confirm) in due.iter().zip(confirms) {
        match confirm {
            Ok(()) => confirmed.push(*message),
            Err(error) => {
                refused.push(*message);
                reason = Some(error.to_string());
            }
        }
    }
    debug!(confirmed = confirmed.len(), refused = refused.len(), "published");
    let is_full = refused.is_empty() && i64::try_from(due.len()) == Ok(BATCH);
    db.write(move |conn| {
        let now = db::now(conn)?;
        store::confirmed(conn, &confirmed, now)?;
        store::refused(conn, &refused, now + RETRY)
    })
    .await?;
    Ok(Pass { refused: reason, is_full, idle })
}
