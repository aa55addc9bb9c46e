//! `/healthz` and `/readyz` of a worker that is a process of its own.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use common::client::FailoverClient;
use common::queue::Publisher;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How long a task manager has to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After how long the next one is asked too.
const PATIENCE: Duration = Duration::from_secs(1);

/// The services that a worker depends on.
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// The broker.
    pub queue: Publisher,
    /// The task managers; one that responds is enough.
    pub api: FailoverClient,
}

/// Serves until the process ends.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, dependencies: Dependencies) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(dependencies);
    axum::serve(listener, router).await
}

async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn readyz(State(dependencies): State<Dependencies>) -> Response {
    let queue = dependencies.queue.check().await.map_err(|error| error.to_string());
    let api = dependencies.api.get::<Value>("/healthz", TIMEOUT, PATIENCE).await;
    let api = api.map_err(|error| error.to_string());
    let ready = queue.is_ok() && api.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let state = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let body = json!({"ready": ready, "queue": state(queue), "task_manager": state(api.map(drop))});
    (status, Json(body)).into_response()
}
