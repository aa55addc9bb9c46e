//! `/v1/workers`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::middleware::access::Administrator;
use crate::api::openapi::shared::AdministratorsOnly;
use crate::db::Database;
use crate::error::Error;
use crate::workers::{WorkerView, store};

/// The workers, the last seen first.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerList {
    /// All workers of the last day.
    items: Vec<WorkerView>,
    /// Always `null`: all fit on one page.
    next_page_token: Option<String>,
}

/// Lists the workers that reported within the last day.
#[utoipa::path(
    get, path = "/v1/workers", tag = "workers",
    responses(
        (status = 200, description = "The workers, the last seen first", body = WorkerList),
        AdministratorsOnly,
    )
)]
pub async fn list_workers(
    State(db): State<Database>,
    _administrator: Administrator,
) -> Result<Json<WorkerList>, Error> {
    let items = db.read(store::list).await?;
    Ok(Json(WorkerList { items, next_page_token: None }))
}
