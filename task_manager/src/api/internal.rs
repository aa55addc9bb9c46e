//! `/internal/v1` for workers, which authenticate with the service token.

use axum::Json;
use axum::extract::State;
use common::report::{
    ClaimRequest, ClaimResponse, ReportRequest, ReportResponse, RowBatch, RowsAnswer, StepAnswer,
    StepRequest,
};
use common::storage::Storage;

use crate::api::request::body::{Content, JsonBody};
use crate::api::request::path::TaskPath;
use crate::db::Database;
use crate::dispatch::relay::RelaySignal;
use crate::error::Error;
use crate::kinds::data_upload::loads::Loads;
use crate::lifecycle::bulk_actions::BulkActions;
use crate::lifecycle::{claim, report};
use crate::live::Changes;
use crate::strict_json;
use crate::workers::last_seen::LastSeen;

/// `POST /internal/v1/claims`
pub async fn claim_tasks(
    State(db): State<Database>,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<Json<ClaimResponse>, Error> {
    Ok(Json(claim::claim(&db, request).await?))
}

/// `POST /internal/v1/reports`
pub async fn report_attempts(
    State(db): State<Database>,
    State(storage): State<Storage>,
    State(relay): State<RelaySignal>,
    State(seen): State<LastSeen>,
    State(changes): State<Changes>,
    JsonBody(request): JsonBody<ReportRequest>,
) -> Result<Json<ReportResponse>, Error> {
    Ok(Json(report::report(&db, &storage, &relay, &seen, &changes, request).await?))
}

/// `POST /internal/v1/tasks/{id}/rows`
pub async fn receive_rows(
    State(loads): State<Loads>,
    TaskPath(id): TaskPath,
    Content(content): Content,
) -> Result<Json<RowsAnswer>, Error> {
    let batch: RowBatch = strict_json::from_slice(&content)
        .map_err(|reason| Error::BadRequest(format!("The batch cannot be read: {reason}.")))?;
    Ok(Json(loads.receive(id, batch).await?))
}

/// `POST /internal/v1/tasks/{id}/steps`
pub async fn step_bulk_action(
    State(actions): State<BulkActions>,
    TaskPath(id): TaskPath,
    JsonBody(StepRequest { attempt }): JsonBody<StepRequest>,
) -> Result<Json<StepAnswer>, Error> {
    Ok(Json(actions.step(id, attempt).await?))
}
