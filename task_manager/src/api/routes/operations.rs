//! `/v1/operations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::clock;
use common::config::EffectiveSettings;
use common::queue::Publisher;
use common::storage::{DiskSpace, Location, Storage};
use common::task::TaskKind;
use serde::Serialize;
use utoipa::ToSchema;

use super::health::ping_in_time;
use crate::api::middleware::access::Administrator;
use crate::api::openapi::shared::AdministratorsOnly;
use crate::backlog::{self, KindBacklog, OutboxBacklog};
use crate::db::Database;
use crate::error::Error;

/// Replaces a secret that is set.
const SECRET: &str = "(secret)";

/// What does not change while the server runs.
#[derive(Debug)]
pub struct ServerInfo {
    pub started_at: DateTime<Utc>,
    /// The kind of database.
    pub database: &'static str,
    /// Where the files are.
    pub storage: Location,
    pub settings: EffectiveSettings,
}

/// The state of the platform, as this task manager sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Operations {
    /// The version of the task manager.
    version: &'static str,
    /// When this task manager started, UTC.
    started_at: DateTime<Utc>,
    /// When it answered, UTC.
    timestamp: DateTime<Utc>,
    database: ServiceState,
    broker: ServiceState,
    storage: StorageState,
    /// The waiting and the running tasks of each kind that has any.
    queue: Vec<KindState>,
    outbox: OutboxState,
    /// The settings of this task manager.
    settings: Vec<SettingState>,
}

/// The state of a service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceState {
    /// `sqlite` or `mysql`; `in_process` or `rabbitmq`.
    kind: &'static str,
    /// Whether it responds.
    ok: bool,
    /// The problem, if it does not.
    detail: Option<String>,
}

/// The state of the storage.
#[derive(Debug, Serialize, ToSchema)]
pub struct StorageState {
    /// `local`, `s3`, `az` or `gs`.
    kind: &'static str,
    /// The folder or the bucket.
    location: String,
    /// Whether files can be written.
    ok: bool,
    /// The problem, if there is one; a disk that is nearly full is one.
    detail: Option<String>,
    /// The free space of the disk in bytes; `null` for a bucket.
    free_bytes: Option<u64>,
    /// The size of the disk in bytes; `null` for a bucket.
    total_bytes: Option<u64>,
    /// Whether less than a tenth of the disk and less than 10 GiB are free.
    nearly_full: bool,
}

/// The waiting and the running tasks of a kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindState {
    #[schema(value_type = String, example = "csv_aggregation")]
    kind: TaskKind,
    /// How many wait for a worker.
    queued: u64,
    /// Since when the first of them waits, UTC.
    oldest_queued_at: Option<DateTime<Utc>>,
    /// How many are running.
    processing: u64,
}

/// The messages that are not in the queue yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutboxState {
    /// How many, including those that are due later.
    rows: u64,
    /// When the first one is or was due, UTC.
    oldest_due_at: Option<DateTime<Utc>>,
    /// How long it has been due, in seconds: more than a few mean that the broker is away.
    lag_seconds: f64,
}

/// A setting in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingState {
    /// Its name in the settings file.
    name: &'static str,
    /// Its value; `(secret)` for a secret that is set.
    value: String,
    /// Whether it is the default.
    default: bool,
}

impl ServiceState {
    fn of<E: std::fmt::Display>(kind: &'static str, checked: Result<(), E>) -> Self {
        let detail = checked.err().map(|error| error.to_string());
        Self { kind, ok: detail.is_none(), detail }
    }
}

impl StorageState {
    async fn of(location: &Location, storage: &Storage) -> Self {
        let checked = storage.check().await;
        let space = match &checked {
            Ok(()) => storage.space().await.ok().flatten(),
            Err(_) => None,
        };
        let problem = checked.as_ref().err().map(ToString::to_string);
        Self {
            kind: location.kind(),
            location: location.to_string(),
            ok: checked.is_ok(),
            detail: problem.or(space.and_then(DiskSpace::warning)),
            free_bytes: space.map(|space| space.free),
            total_bytes: space.map(|space| space.total),
            nearly_full: space.is_some_and(DiskSpace::is_nearly_full),
        }
    }
}

impl From<KindBacklog> for KindState {
    fn from(backlog: KindBacklog) -> Self {
        let KindBacklog { kind, queued, oldest_queued_at, processing } = backlog;
        let oldest_queued_at = oldest_queued_at.map(|at| at.and_utc());
        Self { kind, queued, oldest_queued_at, processing }
    }
}

impl From<OutboxBacklog> for OutboxState {
    fn from(backlog: OutboxBacklog) -> Self {
        Self {
            rows: backlog.rows,
            oldest_due_at: backlog.oldest_due_at.map(|at| at.and_utc()),
            lag_seconds: backlog.lag_seconds(),
        }
    }
}

fn settings(in_force: &EffectiveSettings) -> Vec<SettingState> {
    let settings = in_force.iter().map(|setting| SettingState {
        name: setting.name,
        value: setting.value.unwrap_or(SECRET).to_owned(),
        default: setting.is_default,
    });
    settings.collect()
}

/// Shows the state of the database, the broker and the storage, the waiting tasks and the settings.
#[utoipa::path(
    get, path = "/v1/operations", tag = "operations",
    responses(
        (status = 200, description = "The state of the platform", body = Operations),
        AdministratorsOnly,
    )
)]
pub async fn show_operations(
    State(db): State<Database>,
    State(publisher): State<Publisher>,
    State(storage): State<Storage>,
    State(info): State<Arc<ServerInfo>>,
    _administrator: Administrator,
) -> Result<Json<Operations>, Error> {
    let (database, broker, storage) = tokio::join!(
        ping_in_time(db.clone()),
        publisher.check(),
        StorageState::of(&info.storage, &storage)
    );
    let backlog = backlog::read(&db).await?;
    Ok(Json(Operations {
        version: env!("CARGO_PKG_VERSION"),
        started_at: info.started_at,
        timestamp: clock::now(),
        database: ServiceState::of(info.database, database),
        broker: ServiceState::of(publisher.kind(), broker),
        storage,
        queue: backlog.kinds.into_iter().map(KindState::from).collect(),
        outbox: backlog.outbox.into(),
        settings: settings(&info.settings),
    }))
}
