//! Background work: the relay, leases, schedules, rollbacks, retention, backfills.
//!
//! Every part polls, so that a crash needs no recovery path; a notification only saves the wait.

use std::sync::Arc;
use std::time::Duration;

use common::queue::Publisher;
use common::storage::Storage;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::accounts::last_used::LastUsed;
use crate::accounts::users::throttle::Throttle;
use crate::accounts::{api_keys, sessions};
use crate::audit;
use crate::backfill;
use crate::db::Database;
use crate::dispatch::redispatch::{self, Swallowed};
use crate::dispatch::relay;
use crate::idempotency::IdempotencyKeys;
use crate::kinds::message_validation::reindexing::Terms;
use crate::lifecycle::resumable::{ResumableUploads, discard, finish};
use crate::lifecycle::retention::Retention;
use crate::lifecycle::schedules::runs::Runs;
use crate::lifecycle::wakeups::Wakeups;
use crate::lifecycle::{expire_leases, purge, retention, roll_back, sweep};
use crate::locks::Lock;
use crate::passes::PassError;
use crate::tasks::file_names::FileNames;
use crate::workers;

/// How often leases and rollbacks are polled.
const FAST: Duration = Duration::from_secs(1);
/// How often expired data is searched for, at least as often as the sweep.
const MINUTELY: Duration = Duration::from_secs(60);
/// How often lost messages are searched for.
const REDISPATCH: Duration = Duration::from_secs(15);

/// The parts that background work uses.
#[derive(Debug, Clone)]
pub struct Parts {
    pub db: Database,
    pub storage: Storage,
    pub publisher: Publisher,
    pub keys: IdempotencyKeys,
    pub throttle: Throttle,
    pub last_used: LastUsed,
    pub keys_used: LastUsed,
    pub swallowed: Swallowed,
    pub resumable: ResumableUploads,
    pub retention: Retention,
    /// Whether this task manager runs schedules.
    pub run_schedules: bool,
    /// Whether requests need a login.
    pub login_required: bool,
    /// How often files without a task are searched for.
    pub sweep_interval: Duration,
}

/// Starts everything on `tracker`, until `shutdown`.
pub fn start(parts: Parts, wakeups: &Wakeups, tracker: &TaskTracker, shutdown: &CancellationToken) {
    let Parts { db, storage, publisher, keys, throttle, swallowed, .. } = parts;
    let Parts { last_used, keys_used, .. } = parts;
    let Parts { resumable, retention, run_schedules, login_required, sweep_interval, .. } = parts;
    let minutely = MINUTELY.min(sweep_interval);
    let relay = wakeups.relay().clone();
    tracker.spawn(relay::run(db.clone(), publisher.clone(), relay.clone(), shutdown.clone()));
    tracker.spawn(wakeups.changes().clone().run(db.clone()));

    tracker.spawn(backfill::run::<Terms>(db.clone(), shutdown.clone()));
    tracker.spawn(backfill::run::<FileNames>(db.clone(), shutdown.clone()));

    let every = |what, interval, wake| Every { what, interval, wake, shutdown: shutdown.clone() };
    let never = Arc::<Notify>::default;

    let (pass_db, pass_storage, pass_relay) = (db.clone(), storage.clone(), relay.clone());
    tracker.spawn(every("expired leases", FAST, never()).run(move || {
        let (db, storage, relay) = (pass_db.clone(), pass_storage.clone(), pass_relay.clone());
        async move { expire_leases::pass(&db, &storage, &relay).await }
    }));

    if run_schedules {
        let runs = Runs::new(db.clone(), relay.clone(), login_required);
        tracker.spawn(every("schedules", FAST, never()).run(move || {
            let runs = runs.clone();
            async move { Ok(runs.pass().await?) }
        }));
    }

    let pass_db = db.clone();
    tracker.spawn(every("lost messages", REDISPATCH, never()).run(move || {
        let (db, publisher, relay) = (pass_db.clone(), publisher.clone(), relay.clone());
        let swallowed = swallowed.clone();
        async move { redispatch::pass(&db, &publisher, &relay, &swallowed).await }
    }));

    let uploads = resumable.clone();
    tracker.spawn(every("complete uploads", FAST, never()).run(move || {
        let uploads = uploads.clone();
        async move { finish::pass(&uploads).await }
    }));

    let uploads = resumable.clone();
    tracker.spawn(every("expired uploads", minutely, never()).run(move || {
        let uploads = uploads.clone();
        async move { discard::pass(&uploads).await }
    }));

    let uploads = resumable.clone();
    let rollbacks = wakeups.rollbacks();
    tracker.spawn(every("rollbacks", FAST, rollbacks).run(move || {
        let uploads = uploads.clone();
        async move { roll_back::pass(&uploads).await }
    }));

    let (pass_db, pass_storage) = (db.clone(), storage.clone());
    let deletions = wakeups.deletions();
    tracker.spawn(every("deletions", FAST, deletions).run(move || {
        let (db, storage) = (pass_db.clone(), pass_storage.clone());
        async move { purge::pass(&db, &storage).await }
    }));

    let (pass_db, pass_storage) = (db.clone(), storage.clone());
    tracker.spawn(every("expired files and tasks", minutely, never()).run(move || {
        let (db, storage) = (pass_db.clone(), pass_storage.clone());
        async move { retention::pass(&db, &storage, retention).await }
    }));

    tracker.spawn(watch_space(storage.clone(), shutdown.clone()));

    let (pass_db, lock) = (db.clone(), Lock::new(db.clone(), "sweep"));
    tracker.spawn(every("files without a task", sweep_interval, never()).run(move || {
        let (db, storage, lock) = (pass_db.clone(), storage.clone(), lock.clone());
        async move { sweep::pass(&db, &storage, &lock, sweep_interval).await }
    }));

    tracker.spawn(every("old Idempotency-Keys", minutely, never()).run(move || {
        let keys = keys.clone();
        async move { Ok(keys.sweep().await?) }
    }));

    let pass_db = db.clone();
    tracker.spawn(every("ended sessions", minutely, never()).run(move || {
        throttle.forget_old();
        let db = pass_db.clone();
        async move { Ok(sessions::sweep(&db).await?) }
    }));

    let pass_db = db.clone();
    tracker.spawn(every("uses of sessions", minutely, never()).run(move || {
        let (db, last_used) = (pass_db.clone(), last_used.clone());
        async move { Ok(sessions::record_uses(&db, &last_used).await?) }
    }));

    let pass_db = db.clone();
    tracker.spawn(every("uses of API keys", minutely, never()).run(move || {
        let (db, keys_used) = (pass_db.clone(), keys_used.clone());
        async move { Ok(api_keys::record_uses(&db, &keys_used).await?) }
    }));

    let pass_db = db.clone();
    tracker.spawn(every("old audit entries", minutely, never()).run(move || {
        let db = pass_db.clone();
        async move { Ok(audit::forget_old(&db).await?) }
    }));

    tracker.spawn(every("workers long gone", minutely, never()).run(move || {
        let db = db.clone();
        async move { Ok(workers::forget_gone(&db).await?) }
    }));
}

/// Logs when the disk of the storage becomes nearly full, and when it is no longer.
async fn watch_space(storage: Storage, shutdown: CancellationToken) {
    let mut was_nearly_full = false;
    loop {
        // An unusable storage is reported by the requests and passes that need it.
        if let Ok(Some(space)) = storage.space().await {
            match space.warning() {
                Some(warning) if !was_nearly_full => {
                    warn!("{warning}; uploads fail when it is full, and tasks wait for space");
                }
                None if was_nearly_full => info!("the disk is no longer nearly full"),
                _ => {}
            }
            was_nearly_full = space.is_nearly_full();
        }
        tokio::select! {
            () = tokio::time::sleep(MINUTELY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// A pass that runs at an interval.
struct Every {
    what: &'static str,
    interval: Duration,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
}

impl Every {
    /// Calls `pass` immediately, then at every interval and whenever it is woken. Logs once why it
    /// fails, and once when it has recovered.
    async fn run<F, Fut>(self, pass: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), PassError>>,
    {
        let Self { what, interval, wake, shutdown } = self;
        let mut failing: Option<String> = None;
        loop {
            // A shutdown interrupts a long pass: its commits stay, and the rest is found again.
            let result = tokio::select! {
                result = pass() => result,
                () = shutdown.cancelled() => return,
            };
            let error = result.err().map(|error| error.to_string());
            match &error {
                None if failing.is_some() => info!("{what}: recovered"),
                None => {}
                error if *error == failing => debug!(?error, "{what}: still failing"),
                Some(error) => warn!(error, "{what}: failed, will retry"),
            }
            failing = error;
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = wake.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}
