//! The relay: publishes due outbox rows to the queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;
use common::clock;
use common::queue::Publisher;
use common::traces::{self, SpanKind};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::direct_publish::DirectPublish;
use crate::db::{self, Database, DbConnection, DbResult};
use crate::tasks::outbox::{Dispatch, store};

/// The largest batch of rows.
const BATCH: i64 = 500;
/// How long the relay leases rows; if it dies, another one takes them after this time.
const LOCK: Duration = Duration::from_secs(30);
/// How long rows wait that the queue refused.
const RETRY: Duration = Duration::from_secs(1);
/// The longest sleep of the relay: polling finds rows without a notification.
pub const POLL: Duration = Duration::from_millis(500);

/// A poll starts this long before the latest row that was taken. Rows before that may still be
/// committed; the next full scan finds them.
const OVERLAP: Duration = Duration::from_millis(200);

/// A handle to the relay of this process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RelaySignal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    wakeups: Notify,
    direct: DirectPublish,
}

impl RelaySignal {
    /// Wakes the relay, since there is something to publish.
    pub fn wake(&self) {
        self.0.wakeups.notify_one();
    }

    /// Publishes dispatches that the caller has just committed as reserved (`append_reserved`).
    pub fn publish_directly(&self, dispatches: impl IntoIterator<Item = Dispatch>) {
        self.0.direct.add(dispatches, || self.wake());
    }
}

/// Publishes until `shutdown`.
pub async fn run(
    db: Database,
    publisher: Publisher,
    signal: RelaySignal,
    shutdown: CancellationToken,
) {
    let publishing = signal.0.direct.run(&publisher, || signal.wake(), &shutdown);
    let polling = poll(&db, &publisher, &signal, &shutdown);
    let ((), mut published) = tokio::join!(publishing, polling);
    published.append(signal.0.direct.published());
    // If this fails, the messages are published again after their reservation, and change nothing.
    if let Err(error) = settle(&db, &published).await {
        debug!(%error, "cannot record published messages, they will be published again");
    }
}

/// Publishes due rows, and records their outcomes and those of direct publishes; returns the
/// outcomes that are not recorded yet.
async fn poll(
    db: &Database,
    publisher: &Publisher,
    signal: &RelaySignal,
    shutdown: &CancellationToken,
) -> Published {
    let mut is_away = false;
    let mut has_failed = false;
    let mut published = Published::default();
    let mut cursor = ScanCursor::start();
    while !shutdown.is_cancelled() {
        published.append(signal.0.direct.published());
        match (&published.reason, is_away) {
            (Some(reason), false) => {
                warn!(
                    "the {} accepts no messages; accepted tasks wait in the outbox: {reason}",
                    publisher.name()
                );
                is_away = true;
            }
            (None, true) if !published.confirmed.is_empty() || publisher.check().await.is_ok() => {
                info!("the {} accepts messages again", publisher.name());
                is_away = false;
            }
            _ => {}
        }
        let due = match exchange(db, &published, &mut cursor).await {
            Ok(due) => {
                if std::mem::take(&mut has_failed) {
                    info!("the outbox is readable again");
                }
                published = Published::default();
                due
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    error!(%error, "cannot read the outbox, will retry");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        if due.is_empty() {
            tokio::select! {
                () = tokio::time::sleep_until(cursor.scan_all_at) => {}
                () = signal.0.wakeups.notified() => {}
                () = shutdown.cancelled() => {}
            }
        } else {
            published = publish(publisher, due).await;
            if published.confirmed.is_empty() {
                // Further messages would be refused too.
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }
    published
}

/// The outcomes of published messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    confirmed: Vec<Dispatch>,
    refused: Vec<Dispatch>,
    /// The reason, if some were refused.
    reason: Option<String>,
}

impl Published {
    /// Adds later outcomes.
    pub(super) fn append(&mut self, later: Self) {
        self.confirmed.extend(later.confirmed);
        self.refused.extend(later.refused);
        self.reason = later.reason.or(self.reason.take());
    }

    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.confirmed.len() + self.refused.len()
    }
}

/// The position from which the relay scans the outbox. InnoDB keeps deleted rows for a while: under
/// load, a scan from the first row would read thousands of them to find a few.
struct ScanCursor {
    /// The start of the next scan.
    from: NaiveDateTime,
    /// When the next scan of all rows is due.
    scan_all_at: Instant,
}

impl ScanCursor {
    fn start() -> Self {
        Self { from: NaiveDateTime::default(), scan_all_at: Instant::now() }
    }
}

/// Records outcomes and leases due rows in one transaction: at full load, one for each batch.
async fn exchange(
    db: &Database,
    published: &Published,
    cursor: &mut ScanCursor,
) -> DbResult<Vec<Dispatch>> {
    let published = published.clone();
    let scans_all = Instant::now() >= cursor.scan_all_at;
    let from = if scans_all { NaiveDateTime::default() } else { cursor.from };
    let (due, idle) = db
        .write(move |conn| {
            let now = db::now(conn)?;
            note(conn, &published, now)?;
            let due = store::lease_due(conn, from, now, now + LOCK, BATCH)?;
            let next = if scans_all && due.is_empty() { store::next_due(conn, now)? } else { None };
            let idle = next.map_or(POLL, |next| {
                (next - now).to_std().unwrap_or(POLL).clamp(Duration::from_millis(10), POLL)
            });
            Ok((due, idle))
        })
        .await?;
    if let Some(last) = due.last() {
        cursor.from = last.due_at - OVERLAP;
    }
    if scans_all {
        cursor.scan_all_at = Instant::now() + idle;
    }
    Ok(due)
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

/// Publishes; returns the outcomes.
pub(super) async fn publish(publisher: &Publisher, due: Vec<Dispatch>) -> Published {
    let messages: Vec<_> = due.iter().map(|due| (due.kind, due.message)).collect();
    let begin = SystemTime::from(clock::now());
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
    if traces::are_on() {
        trace(&published.confirmed, publisher.kind(), begin);
    }
    let (confirmed, refused) = (published.confirmed.len(), published.refused.len());
    debug!(confirmed, refused, "published");
    published
}

/// Traces confirmed messages. Refused ones are repeated each second, and their log has one line.
fn trace(confirmed: &[Dispatch], system: &'static str, begin: SystemTime) {
    let end = SystemTime::from(clock::now());
    for Dispatch { kind, message, .. } in confirmed {
        if let Some(span) = traces::span(message.task_id, format!("publish {kind}"), begin..end) {
            span.kind(SpanKind::Producer)
                .attribute("messaging.system", system)
                .attribute("messaging.operation.type", "send")
                .attribute("messaging.operation.name", "publish")
                .attribute("messaging.destination.name", kind.as_str())
                .count("task.dispatch", message.dispatch.into())
                .record();
        }
    }
}
