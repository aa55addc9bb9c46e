//! `/healthz` and `/readyz` of a worker that is a process of its own.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use common::client::ApiClient;
use common::queue::Publisher;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a worker needs to get work done.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Where its messages come from.
    pub queue: Publisher,
    /// Where it claims and reports.
    pub api: ApiClient,
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
    let api = needs.api.get::<Value>("/healthz").await.map_err(|error| error.to_string());
    let ready = queue.is_ok() && api.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let state = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let body = json!({"ready": ready, "queue": state(queue), "task_manager": state(api.map(drop))});
    (status, Json(body)).into_response()
}
