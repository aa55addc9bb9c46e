//! `/internal/v1` for the workers, with the service token, and the registry for people.

use axum::Json;
use axum::extract::State;
use common::report::{ClaimRequest, ClaimResponse, ReportRequest, ReportResponse};
use common::storage::Storage;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Seen, WorkerView, store};
use crate::db::Database;
use crate::error::ApiError;
use crate::http::access::Administrator;
use crate::http::body::JsonBody;
use crate::outbox::relay::RelaySignal;
use crate::tasks::events::Changes;

/// `POST /internal/v1/claims`
pub async fn claim(
    State(db): State<Database>,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<Json<ClaimResponse>, ApiError> {
    Ok(Json(super::claim(&db, request).await?))
}

/// `POST /internal/v1/reports`
pub async fn report(
    State(db): State<Database>,
    State(storage): State<Storage>,
    State(relay): State<RelaySignal>,
    State(seen): State<Seen>,
    State(changes): State<Changes>,
    JsonBody(request): JsonBody<ReportRequest>,
) -> Result<Json<ReportResponse>, ApiError> {
    Ok(Json(super::report(&db, &storage, &relay, &seen, &changes, request).await?))
}

/// The workers, the last seen first.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerList {
    /// All workers of the last day.
    items: Vec<WorkerView>,
    /// Always `null`: they fit one page.
    next_page_token: Option<String>,
}

/// Lists the workers that reported within the last day.
#[utoipa::path(
    get, path = "/v1/workers", tag = "workers",
    responses(
        (status = 200, description = "The workers, the last seen first", body = WorkerList),
        (status = 403, description = "Only an administrator may see them", body = common::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_workers(
    State(db): State<Database>,
    _administrator: Administrator,
) -> Result<Json<WorkerList>, ApiError> {
    let items = db.read(store::list).await?;
    Ok(Json(WorkerList { items, next_page_token: None }))
}
