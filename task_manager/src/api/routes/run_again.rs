//! `/v1/tasks/{id}/run_again`.

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use common::task::AcceptedTask;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{IdempotencyKey, NoSuchTask};
use crate::api::request::body::{Content, read_json};
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::api::request::path::TaskPath;
use crate::api::response::accepted::accepted;
use crate::error::Error;
use crate::lifecycle::run_again;
use crate::lifecycle::upload::Uploads;

/// How the new task differs.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunAgainRequest {
    /// Parameters of the kind by their names. Each one replaces all values of the earlier task, and
    /// `null` restores the default; the others stay. A value is a text, a number or a list of them.
    #[schema(value_type = Option<Object>, example = json!({"group_by": ["City"], "on_bad_row": "skip"}))]
    parameters: Option<Map<String, Value>>,
}

/// Runs an ended task again, with other parameters if they are given.
///
/// A new task of the same kind reads a copy of the file, which is made by the storage and not
/// uploaded again. The earlier task stays as it is. The body may be missing.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/run_again", tag = "tasks",
    params(TaskPath, IdempotencyKey),
    request_body(content = Option<RunAgainRequest>, content_type = "application/json"),
    responses(
        (status = 202, description = "The new task", body = AcceptedTask,
            headers(("Location" = String, description = "The task"), ("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        NoSuchTask,
        (status = 409, description = "The task has not ended, or it has no file (`no_input`)"),
        (status = 410, description = "The task's files are gone"),
        (status = 413, description = "The file is larger than `upload_limit` now"),
        (status = 422, description = "A parameter is invalid, or the key was used for another body"),
    )
)]
pub async fn run_task_again(
    State(uploads): State<Uploads>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    parts: Parts,
    Content(content): Content,
) -> Result<Response, Error> {
    let request: RunAgainRequest = match content.is_empty() {
        true => RunAgainRequest::default(),
        false => read_json(&parts.headers, &content)?,
    };
    let key = idempotency::key(&parts, &user.id.0.to_string())?;
    let request_key = key.map(|key| (key, hex::encode(Sha256::digest(&content))));
    let changes = request.parameters.unwrap_or_default();
    let running =
        async move { run_again::run_again(&uploads, user.id, id, changes, request_key).await };
    let task = run_detached("running a task again", running).await?;
    let location = task.task.links.this.clone();
    Ok(accepted(Some(&location), task))
}
