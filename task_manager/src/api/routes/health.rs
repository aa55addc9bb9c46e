//! `/healthz` and `/readyz`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::queue::Publisher;
use common::storage::{DiskSpace, Storage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{self, Database, DbError, DbResult};
use crate::dispatch::redispatch::{SWALLOWED, Swallowed};

/// Shorter than a request waits for a connection, since health checks need an answer.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Reports that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process is alive", body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether requests can be served, and the health of each part.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether requests are served: only the database decides.
    ready: bool,
    /// `ok`, or the problem.
    database: String,
    /// `ok`, or the problem; uploads are accepted nevertheless. Also the number of tasks whose
    /// messages are consumed without a claim.
    queue: String,
    /// `ok`, or the problem; also that the disk is nearly full.
    storage: String,
}

/// Reports whether requests can be served. Only the database decides; while the queue is down,
/// tasks are accepted and wait.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Requests are served", body = Readiness),
        (status = 503, description = "The database is temporarily unavailable", body = Readiness),
    )
)]
pub async fn readyz(
    State(db): State<Database>,
    State(publisher): State<Publisher>,
    State(storage): State<Storage>,
    State(swallowed): State<Swallowed>,
) -> Response {
    let database = ping_in_time(db).await;
    let queue = publisher.check().await;
    let space = storage.space().await.ok().flatten();
    let storage = state(storage.check().await);
    let ready = database.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        ready,
        database: state(database),
        queue: match (state(queue), swallowed.count()) {
            (ok, 0) => ok,
            (state, count) => format!(
                "{state}; {count} tasks were dispatched {SWALLOWED} or more times without a claim, the log names them"
            ),
        },
        storage: match space.and_then(DiskSpace::warning) {
            Some(warning) => format!("{storage}; {warning}"),
            None => storage,
        },
    };
    (status, Json(readiness)).into_response()
}

/// Runs in a separate task, which may block its thread waiting for the database: no timeout could
/// end that.
pub async fn ping_in_time(db: Database) -> DbResult<()> {
    let ping = tokio::spawn(async move { db.read(|conn| Ok(db::ping(conn)?)).await });
    match tokio::time::timeout(DATABASE_TIMEOUT, ping).await {
        Ok(pinged) => pinged.map_err(|error| DbError::Unavailable(error.to_string()))?,
        Err(_) => Err(DbError::Unavailable(format!("no answer within {DATABASE_TIMEOUT:?}"))),
    }
}

fn state<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}
