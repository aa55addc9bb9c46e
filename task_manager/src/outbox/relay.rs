//! The relay: brings due outbox rows to the queue.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use common::queue::Publisher;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Dispatch, store};
use crate::db::{self, Database, DbConnection, DbResult};

/// How many rows are published at once.
const BATCH: i64 = 500;
/// How long rows are this relay's; when it dies, another one takes them after this time.
const LOCK: Duration = Duration::from_secs(30);
/// How long rows wait that the queue did not take.
const RETRY: Duration = Duration::from_secs(1);
/// How long the relay sleeps at the most: what a notification did not tell, polling finds.
pub const POLL: Duration = Duration::from_millis(500);

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
    let mut published = Published::default();
    while !shutdown.is_cancelled() {
        let next = match exchange(&db, &published).await {
            Ok(next) => {
                if std::mem::take(&mut has_failed) {
                    info!("the outbox is read again");
                }
                next
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    error!(%error, "the outbox cannot be read now; trying on");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        published = match next {
            Next::Due(due) => {
                let published = publish(&publisher, due).await;
                if published.confirmed.is_empty() {
                    // Others would be refused too.
                    tokio::select! {
                        () = tokio::time::sleep(POLL) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
                published
            }
            Next::Idle(idle) => {
                tokio::select! {
                    () = tokio::time::sleep(idle) => {}
                    () = signal.0.notified() => {}
                    () = shutdown.cancelled() => {}
                }
                Published::default()
            }
        };
        match (&published.reason, is_away) {
            (Some(reason), false) => {
                warn!(
                    "the {} takes no messages; accepted tasks wait in the outbox: {reason}",
                    publisher.name()
                );
                is_away = true;
            }
            (None, true) if !published.confirmed.is_empty() || publisher.check().await.is_ok() => {
                info!("the {} takes messages again", publisher.name());
                is_away = false;
            }
            _ => {}
        }
    }
    // Where this fails, the messages come again after `LOCK`, and change nothing.
    if let Err(error) = settle(&db, &published).await {
        debug!(%error, "what was published is published again");
    }
}

/// What became of messages.
#[derive(Debug, Clone, Default)]
struct Published {
    confirmed: Vec<Dispatch>,
    refused: Vec<Dispatch>,
    /// Why, where some were refused.
    reason: Option<String>,
}

/// What is to be done.
enum Next {
    Due(Vec<Dispatch>),
    Idle(Duration),
}

/// Notes what was published and leases what is due, in one transaction: at full load there is one
/// for each batch.
async fn exchange(db: &Database, published: &Published) -> DbResult<Next> {
    let published = published.clone();
    db.write(move |conn| {
        let now = db::now(conn)?;
        note(conn, &published, now)?;
        let due = store::lease_due(conn, now, now + LOCK, BATCH)?;
        if !due.is_empty() {
            return Ok(Next::Due(due));
        }
        let idle = store::next_due(conn)?.map_or(POLL, |next| {
            (next - now).to_std().unwrap_or(POLL).clamp(Duration::from_millis(10), POLL)
        });
        Ok(Next::Idle(idle))
    })
    .await
}

async fn settle(db: &Database, published: &Published) -> DbResult<()> {
    let published = published.clone();
    db.write(move |conn| {
        let now = db::now(conn)?;
        note(conn, &published, now)
    })
    .await
}

fn note(conn: &mut DbConnection, published: &Published, now: NaiveDateTime) -> DbResult<()> {
    store::confirmed(conn, &published.confirmed, now)?;
    store::refused(conn, &published.refused, now + RETRY)
}

async fn publish(publisher: &Publisher, due: Vec<Dispatch>) -> Published {
    let messages: Vec<_> = due.iter().map(|due| (due.kind, due.message)).collect();
    let confirms = publisher.publish(&messages).await;
    let mut published = Published::default();
    for (due, confirm) in due.into_iter().zip(confirms) {
        match confirm {
            Ok(()) => published.confirmed.push(due),
            Err(error) => {
                published.refused.push(due);
                published.reason = Some(error.to_string());
            }
        }
    }
    let (confirmed, refused) = (published.confirmed.len(), published.refused.len());
    debug!(confirmed, refused, "published");
    published
}
