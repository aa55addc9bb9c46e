//! `/v1/tasks/actions`: actions on many tasks.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use common::bulk_action::BulkAction;
use common::parameters;
use common::task::{AcceptedTask, TaskId};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::body::{Content, read_json};
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::api::request::task_filter;
use crate::api::response::accepted::accepted;
use crate::audit::{Action, Audit, Entry};
use crate::error::Error;
use crate::lifecycle::bulk_actions::{BulkActions, Matches, Selection};

/// How many ids a request may name.
const MAX_IDS: usize = 1_000;

/// An action on the tasks that match a filter, or on those with given ids.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkActionRequest {
    /// What happens to each task.
    action: BulkAction,
    /// The parameters of GET /v1/tasks that select tasks, by their names: a text, or a list of
    /// texts where one may repeat. `{}` selects all tasks.
    #[schema(value_type = Option<Object>, example = json!({"state": ["queued", "processing"], "kind": "csv_aggregation"}))]
    filter: Option<Map<String, Value>>,
    /// These tasks, instead of a filter.
    #[schema(min_items = 1, max_items = 1_000)]
    ids: Option<Vec<TaskId>>,
    /// Only count the tasks.
    #[serde(default)]
    dry_run: bool,
}

/// Stops, kills, resumes or deletes many tasks.
///
/// A task of the kind `bulk_action` acts on the tasks that were created before it and match when it
/// reaches them, newest first, each once; its `result` says for how many this was possible, and why
/// not for others. It can be stopped, killed and resumed like any task, but what it has done stays
/// done. It never acts on bulk actions. With `dry_run`, the tasks are counted and nothing else
/// happens.
#[utoipa::path(
    post, path = "/v1/tasks/actions", tag = "tasks",
    params(IdempotencyKey),
    request_body = BulkActionRequest,
    responses(
        (status = 200, description = "How many tasks match (`dry_run`)", body = Matches),
        (status = 202, description = "The task that acts on the others", body = AcceptedTask,
            headers(("Location" = String, description = "The task"), ("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        (status = 422, description = "The filter is invalid or missing, or the key was used for another body"),
    )
)]
pub async fn act_on_tasks(
    State(actions): State<BulkActions>,
    State(audit): State<Audit>,
    user: CurrentUser,
    parts: Parts,
    Content(content): Content,
) -> Result<Response, Error> {
    let BulkActionRequest { action, filter, ids, dry_run } = read_json(&parts.headers, &content)?;
    let selection = selection(filter, ids)?;
    let key = idempotency::key(&parts, &user.id.0.to_string())?;
    if dry_run {
        return Ok(Json(actions.count(user.id, action, selection).await?).into_response());
    }
    let request_key = key.map(|key| (key, hex::encode(Sha256::digest(&content))));
    let submitting = async move {
        let task = actions.submit(user.id, action, selection, request_key).await?;
        let id = task.task.task_id;
        let entry = Entry::of(Action::BulkActionRequested, user.actor());
        audit.note(entry.with_task(id).with_detail(format!("{action:?}").to_lowercase()));
        Ok(task)
    };
    let task = run_detached("requesting a bulk action", submitting).await?;
    let location = task.task.links.this.clone();
    Ok(accepted(Some(&location), task))
}

fn selection(
    filter: Option<Map<String, Value>>,
    ids: Option<Vec<TaskId>>,
) -> Result<Selection, Error> {
    match (filter, ids) {
        (Some(filter), None) => {
            let parameters = parameters::from_json(&filter).map_err(Error::InvalidParameters)?;
            let mut query = Query::of(Parameters(parameters));
            let filter = task_filter::filter(&mut query);
            query.finish()?;
            Ok(Selection::matching(filter))
        }
        (None, Some(mut ids)) if (1..=MAX_IDS).contains(&ids.len()) => {
            ids.sort_unstable();
            ids.dedup();
            Ok(Selection::Ids(ids))
        }
        (None, Some(ids)) => {
            let reason = format!("has {} ids; 1 to {MAX_IDS} are accepted", ids.len());
            Err(Error::invalid("ids", reason))
        }
        (None, None) => {
            Err(Error::invalid("filter", "is missing: send {} to select all tasks, or send `ids`"))
        }
        (Some(_), Some(_)) => {
            Err(Error::invalid("filter", "and `ids` exclude each other: send one of them"))
        }
    }
}
