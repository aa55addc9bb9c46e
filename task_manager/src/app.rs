//! The server: wires its parts together, starts and stops them.

mod gauges;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::clock;
use common::metrics::Page;
use common::problem::ErrorLocation;
use common::queue::Queue;
use common::storage::Storage;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::gauges::Gauges;
use crate::accounts::api_keys::{self, ApiKeys};
use crate::accounts::last_used::LastUsed;
use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::sessions::{self, Roles};
use crate::accounts::users::credentials::NewUser;
use crate::accounts::users::passwords::Passwords;
use crate::accounts::users::throttle::Throttle;
use crate::accounts::users::{self, UserView, Users};
use crate::api::middleware::access::{Authenticator, ServiceToken};
use crate::api::request::address::TrustForwardedFor;
use crate::api::request::body::BodyTimeout;
use crate::api::request::file::IdleTimeout;
use crate::api::routes::downloads::PresignedDownloads;
use crate::api::routes::operations::ServerInfo;
use crate::api::state::{AppState, Parts};
use crate::api::{router, server};
use crate::audit::Audit;
use crate::background;
use crate::config::Config;
use crate::config::secrets;
use crate::db::{self, Database, DbResult};
use crate::dispatch::redispatch::{self, Swallowed};
use crate::idempotency::IdempotencyKeys;
use crate::kinds::data_upload::loads::Loads;
use crate::lifecycle::bulk_actions::BulkActions;
use crate::lifecycle::resumable::{self, ResumableUploads};
use crate::lifecycle::schedules::Schedules;
use crate::lifecycle::submit_messages::Messages;
use crate::lifecycle::submit_user_events::UserEvents;
use crate::lifecycle::upload::Uploads;
use crate::lifecycle::upload::draft::{Drafts, LeaseTimes};
use crate::lifecycle::wakeups::Wakeups;
use crate::live::Changes;
use crate::locks;
use crate::metrics::metrics;
use crate::results::ResultFiles;
use crate::tasks::attempts::AttemptOutcome;
use crate::tasks::store;
use crate::workers::last_seen::LastSeen;

/// How long open requests may take to finish during a shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait between attempts to open the database, each of which waits for a connection.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The token that workers must send.
    pub service_token: SecretString,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    tracker: TaskTracker,
    gauges: Gauges,
}

/// Opens the database and brings its tables up to date; returns the names of the migrations that
/// ran.
///
/// # Errors
/// The database is not reachable or cannot be migrated.
pub async fn migrate(config: &Config) -> anyhow::Result<Vec<String>> {
    let db = Database::connect(config.database_url.expose_secret()).await?;
    Ok(db.migrate().await?)
}

/// Adds an administrator to the database, after bringing its tables up to date; returns the name.
///
/// # Errors
/// The name or password is invalid, the name is taken, or the database is not reachable.
pub async fn create_administrator(
    config: &Config,
    username: &str,
    password: SecretString,
) -> anyhow::Result<String> {
    let reason = |error: &ErrorLocation| {
        format!("{} {}", error.field.as_deref().unwrap_or_default(), error.reason)
    };
    let user = NewUser::parse(username, password, config.password_length).map_err(|errors| {
        anyhow::anyhow!(errors.iter().map(reason).collect::<Vec<_>>().join("; "))
    })?;
    let db = Database::connect(config.database_url.expose_secret()).await?;
    db.migrate().await?;
    let UserView { username, .. } = users::add_administrator(&db, user).await?;
    Ok(username)
}

impl Server {
    /// Starts one of any number of task managers on their common database, queue and storage.
    /// Waits for a database that is not available yet: after a restart of the machine it may be the last
    /// to start.
    ///
    /// # Errors
    /// The address is taken, or the database or the storage does not work.
    pub async fn start(config: &Config, queue: &Queue, storage: Storage) -> anyhow::Result<Self> {
        config.check_start(false)?;
        let listener = listen(config).await?;
        let db = loop {
            match open_database(config).await {
                Err(error) if error.is_unavailable() => {
                    warn!(%error, "cannot use the database, will retry");
                    tokio::time::sleep(DATABASE_RETRY).await;
                }
                opened => break opened.context("the database cannot be opened")?,
            }
        };
        Self::serve(config, queue, storage, db, listener)
    }

    /// Starts the only task manager of its database and its in-process queue. It ends all leases, since
    /// no other process can hold one, and fills the queue from the table.
    ///
    /// # Errors
    /// The address is taken, the database or the storage does not work, or other processes may use the
    /// database.
    pub async fn start_standalone(
        config: &Config,
        queue: &Queue,
        storage: Storage,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            db::is_in_process(config.database_url.expose_secret()),
            "a server that runs alone keeps its tasks in SQLite; `database_url` names another database"
        );
        config.check_start(true)?;
        let listener = listen(config).await?;
        let db = open_database(config).await.context("the database cannot be opened")?;
        storage.remove_unfinished(Duration::ZERO).await?;
        db.write(|conn| {
            let now = db::now(conn)?;
            resumable::store::release_all(conn)?;
            store::expire_all_leases(conn, now - Duration::from_secs(1))
        })
        .await?;
        IdempotencyKeys { db: db.clone() }.free_all().await?;
        locks::free_all(&db).await?;
        redispatch::fill(&db).await?;
        Self::serve(config, queue, storage, db, listener)
    }

    fn serve(
        config: &Config,
        queue: &Queue,
        storage: Storage,
        db: Database,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let changes = Changes::until(shutdown.clone());
        let wakeups = Wakeups::new(changes.clone());
        let service_token = config.service_token.clone().unwrap_or_else(secrets::random);
        let jwt_key = config.jwt_key.clone().unwrap_or_else(secrets::random);
        let tokens = Tokens::new(jwt_key, config.jwt_previous_key.clone(), config.token_lifetime);
        let keys = IdempotencyKeys { db: db.clone() };
        let throttle = Throttle::new(config.rates);
        let swallowed = Swallowed::default();
        let audit = Audit::start(db.clone(), &tracker, shutdown.clone());
        let last_used = LastUsed::new(sessions::USE_INTERVAL);
        let keys_used = LastUsed::new(api_keys::USE_INTERVAL);
        let authenticator = Authenticator {
            roles: Roles::start(db.clone()),
            keys: ApiKeys::start(db.clone()),
            last_used: last_used.clone(),
            keys_used: keys_used.clone(),
            tokens: tokens.clone(),
            trust_forwarded_for: TrustForwardedFor(config.trust_forwarded_for),
            login_required: config.needs_login(),
        };
        let drafts = Drafts {
            db: db.clone(),
            storage: storage.clone(),
            limit: config.upload_limit,
            lease: LeaseTimes::default(),
        };
        let resumable = ResumableUploads {
            drafts: drafts.clone(),
            wakeups: wakeups.clone(),
            keys: keys.clone(),
            shutdown: shutdown.clone(),
            lifetime: config.keep_uploads,
        };
        let state = AppState::new(Parts {
            db: db.clone(),
            audit: audit.clone(),
            storage: storage.clone(),
            results: ResultFiles::new(storage.clone()),
            publisher: queue.publisher(),
            relay: wakeups.relay().clone(),
            seen: LastSeen::default(),
            changes,
            uploads: Uploads {
                drafts: drafts.clone(),
                wakeups: wakeups.clone(),
                keys: keys.clone(),
            },
            resumable: resumable.clone(),
            idle: IdleTimeout(config.upload_idle_timeout),
            loads: Loads::new(db.clone()),
            keys: keys.clone(),
            messages: Messages::start(db.clone(), keys.clone(), wakeups.relay().clone()),
            user_events: UserEvents {
                db: db.clone(),
                keys: keys.clone(),
                relay: wakeups.relay().clone(),
            },
            bulk_actions: BulkActions {
                db: db.clone(),
                keys: keys.clone(),
                wakeups: wakeups.clone(),
            },
            schedules: Schedules {
                db: db.clone(),
                keys: keys.clone(),
                relay: wakeups.relay().clone(),
            },
            service_token: ServiceToken(service_token.clone()),
            authenticator: authenticator.clone(),
            tokens,
            users: Users {
                db: db.clone(),
                audit,
                keys: keys.clone(),
                passwords: Passwords::default(),
                throttle: throttle.clone(),
            },
            password_length: config.password_length,
            trust_forwarded_for: TrustForwardedFor(config.trust_forwarded_for),
            allowed_origins: config.cors_origins.clone(),
            body_timeout: BodyTimeout(config.body_timeout),
            presigned_downloads: PresignedDownloads(config.presigned_downloads),
            wakeups: wakeups.clone(),
            swallowed: swallowed.clone(),
            info: Arc::new(ServerInfo {
                started_at: clock::now(),
                database: match db::is_in_process(config.database_url.expose_secret()) {
                    true => "sqlite",
                    false => "mysql",
                },
                storage: config.storage.location.clone(),
                settings: config.in_force.clone(),
            }),
        });
        let gauges =
            Gauges { db: db.clone(), publisher: queue.publisher(), storage: storage.clone() };
        let parts = background::Parts {
            db,
            storage,
            publisher: queue.publisher(),
            keys,
            throttle,
            last_used,
            keys_used,
            swallowed,
            resumable,
            retention: config.retention,
            run_schedules: config.run_schedules,
            login_required: config.needs_login(),
            sweep_interval: config.sweep_interval,
        };
        background::start(parts, &wakeups, &tracker, &shutdown);

        let address = listener.local_addr()?;
        let router = router::router(state, authenticator);
        let limits = config.connections;
        let serving = tokio::spawn(server::serve(listener, router, limits, shutdown.clone()));
        Ok(Self { address, service_token, shutdown, serving, tracker, gauges })
    }

    /// Adds the metrics of the task manager to a page.
    pub fn add_metrics(&self, page: &mut Page) {
        metrics().register(page.registry());
        metrics().start_at_zero(&AttemptOutcome::ALL.map(AttemptOutcome::as_str));
        let gauges = self.gauges.clone();
        page.before_scrapes(move || {
            let gauges = gauges.clone();
            Box::pin(async move { gauges.refresh().await })
        });
    }

    /// Accepts no more requests, waits a bounded time for the open ones, then stops the rest.
    ///
    /// # Errors
    /// Serving has panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let aborting = self.serving.abort_handle();
        match tokio::time::timeout(GRACE, self.serving).await {
            Ok(served) => served?,
            Err(_) => {
                warn!("requests are still open after {GRACE:?} and are aborted");
                aborting.abort();
            }
        }
        self.tracker.close();
        if tokio::time::timeout(GRACE, self.tracker.wait()).await.is_err() {
            warn!("background work is still running after {GRACE:?} and is aborted");
        }
        Ok(())
    }
}

async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    TcpListener::bind(config.listen).await.with_context(|| {
        format!("the address {} cannot be used; choose another one (`listen`)", config.listen)
    })
}

/// Opens the database and brings its tables up to date.
async fn open_database(config: &Config) -> DbResult<Database> {
    let db = Database::connect(config.database_url.expose_secret()).await?;
    let migrations = db.migrate().await?;
    if !migrations.is_empty() {
        info!(?migrations, "brought the tables of the database up to date");
    }
    Ok(db)
}
