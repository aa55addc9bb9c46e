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
/// When the next one is asked as well.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a worker needs to get work done.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Where its messages come from.
    pub queue: Publisher,
    /// Where it claims and reports: one task manager that answers is enough.
    pub api: FailoverClient,
}

/// Serves until the process ends.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, needs: Needs) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(needs);
    axum::serve(listener, router).await
}

async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn readyz(State(needs): State<Needs>) -> Response {
    let queue = needs.queue.check().await.map_err(|error| error.to_string());
    let api = needs.api.get::<Value>("/healthz", TIMEOUT, PATIENCE).await;
    let api = api.map_err(|error| error.to_string());
    let ready = queue.is_ok() && api.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let state = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let body = json!({"ready": ready, "queue": state(queue), "task_manager": state(api.map(drop))});
    (status, Json(body)).into_response()
}
