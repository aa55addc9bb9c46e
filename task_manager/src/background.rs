//! What goes on without a request: the relay, leases, rollbacks, retention.
//!
//! Every part polls, so that a crash needs no recovery path; a notification only makes it sooner.

use std::sync::Arc;
use std::time::Duration;

use common::queue::Publisher;
use common::storage::Storage;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::db::{self, Database, DbResult};
use crate::outbox::redispatch;
use crate::outbox::relay::{self, RelaySignal};
use crate::retention::{self, Retention};
use crate::tasks::events::Changes;
use crate::{leases, retention::log_failure};

/// How often leases and rollbacks are looked at.
const FAST: Duration = Duration::from_secs(1);
/// How often lost messages are looked for.
const REDISPATCH: Duration = Duration::from_secs(15);
/// A worker that was silent for longer is forgotten.
const FORGET_WORKERS: Duration = Duration::from_secs(24 * 3600);

/// Wakes what works in the background. Clones wake the same.
#[derive(Debug, Clone, Default)]
pub struct Background {
    relay: RelaySignal,
    cleanup: Arc<Notify>,
}

impl Background {
    /// There may be something to publish, roll back or remove.
    pub fn wake(&self) {
        self.relay.wake();
        self.cleanup.notify_one();
    }

    /// Wakes the relay alone.
    pub fn relay(&self) -> &RelaySignal {
        &self.relay
    }
}

/// What the background works with.
#[derive(Debug, Clone)]
pub struct Parts {
    pub db: Database,
    pub storage: Storage,
    pub publisher: Publisher,
    pub changes: Changes,
    pub retention: Retention,
    /// How often files that no task knows are looked for.
    pub sweep_interval: Duration,
}

/// Starts everything on `tracker`, until `shutdown`.
pub fn start(
    parts: Parts,
    background: &Background,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let Parts { db, storage, publisher, changes, retention, sweep_interval } = parts;
    let relay = background.relay.clone();
    tracker.spawn(relay::run(db.clone(), publisher.clone(), relay.clone(), shutdown.clone()));
    tracker.spawn(changes.run(db.clone()));

    let (leases_db, leases_storage, leases_relay) = (db.clone(), storage.clone(), relay.clone());
    tracker.spawn(every(FAST, Arc::default(), shutdown.clone(), move || {
        let (db, storage, relay) =
            (leases_db.clone(), leases_storage.clone(), leases_relay.clone());
        async move { log("expired leases", leases::pass(&db, &storage, &relay).await) }
    }));

    let redispatch_db = db.clone();
    tracker.spawn(every(REDISPATCH, Arc::default(), shutdown.clone(), move || {
        let (db, publisher, relay) = (redispatch_db.clone(), publisher.clone(), relay.clone());
        async move { log("lost messages", redispatch::pass(&db, &publisher, &relay).await) }
    }));

    let (cleanup_db, cleanup_storage) = (db.clone(), storage.clone());
    tracker.spawn(every(FAST, Arc::clone(&background.cleanup), shutdown.clone(), move || {
        let (db, storage) = (cleanup_db.clone(), cleanup_storage.clone());
        async move {
            log_failure("a rollback", retention::roll_back(&db, &storage).await);
            log_failure("a deletion", retention::remove_deleted(&db, &storage).await);
        }
    }));

    tracker.spawn(every(sweep_interval, Arc::default(), shutdown.clone(), move || {
        let (db, storage) = (db.clone(), storage.clone());
        async move {
            log_failure("retention", retention::expire(&db, &storage, retention).await);
            log_failure("the sweep", retention::sweep(&db, &storage).await);
            log("old workers", forget_workers(&db).await);
        }
    }));
}

async fn forget_workers(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - FORGET_WORKERS;
        retention::store::forget_workers(conn, before)
    })
    .await
}

fn log(what: &str, result: DbResult<()>) {
    if let Err(error) = result {
        warn!(%error, "{what} could not be looked at; it is tried again");
    }
}

/// Calls `pass` at once, then every `interval` and whenever `wake` says so, until `shutdown`.
async fn every<F, Fut>(interval: Duration, wake: Arc<Notify>, shutdown: CancellationToken, pass: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    loop {
        pass().await;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = wake.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}
