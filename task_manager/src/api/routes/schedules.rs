//! `/v1/schedules`, for administrators.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use common::task::TaskView;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::middleware::access::{Administrator, CurrentUser};
use crate::api::openapi::shared::{AdministratorsOnly, IdempotencyKey, NoSuchSchedule};
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::api::response::accepted::accepted;
use crate::audit::{Action, Audit, Entry};
use crate::error::Error;
use crate::idempotency::fingerprint;
use crate::lifecycle::schedules::document::ScheduleDocument;
use crate::lifecycle::schedules::{ScheduleView, Schedules};

/// The schedules, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleList {
    /// All schedules.
    items: Vec<ScheduleView>,
    /// Always `null`: all fit on one page.
    next_page_token: Option<String>,
}

/// Lists the schedules.
#[utoipa::path(
    get, path = "/v1/schedules", tag = "schedules",
    responses(
        (status = 200, description = "The schedules, by name", body = ScheduleList),
        AdministratorsOnly,
    )
)]
pub async fn list_schedules(
    State(schedules): State<Schedules>,
    _: Administrator,
) -> Result<Json<ScheduleList>, Error> {
    Ok(Json(ScheduleList { items: schedules.list().await?, next_page_token: None }))
}

/// Shows a schedule.
#[utoipa::path(
    get, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name", example = "user_events_report")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleView),
        AdministratorsOnly,
        NoSuchSchedule,
    )
)]
pub async fn show_schedule(
    State(schedules): State<Schedules>,
    _: Administrator,
    Path(name): Path<String>,
) -> Result<Json<ScheduleView>, Error> {
    Ok(Json(schedules.show(name).await?))
}

/// Creates a schedule, or replaces it.
///
/// At its times, the report of the user events by city, of all users, is sent by e-mail. When the
/// clock goes forward, times in the gap are due right after it; when it goes back, a fixed time is
/// due once. Runs missed during an outage are made up for by a single one. The tasks of its runs
/// belong to the user who created it, even after it is replaced.
#[utoipa::path(
    put, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name: 1 to 64 lower-case letters, digits, `_` and `-`", pattern = "^[a-z0-9_-]{1,64}$", example = "user_events_report")),
    request_body = ScheduleDocument,
    responses(
        (status = 200, description = "The schedule was replaced", body = ScheduleView),
        (status = 201, description = "The schedule is new", body = ScheduleView),
        AdministratorsOnly,
        (status = 422, description = "The name, expression, time zone or an address is invalid"),
    )
)]
pub async fn put_schedule(
    State(schedules): State<Schedules>,
    State(audit): State<Audit>,
    user: CurrentUser,
    _: Administrator,
    Path(name): Path<String>,
    JsonBody(document): JsonBody<ScheduleDocument>,
) -> Result<(StatusCode, Json<ScheduleView>), Error> {
    let putting = async move {
        let (schedule, is_new) = schedules.put(user.id, name, document).await?;
        let entry = Entry::of(Action::ScheduleChanged, user.actor());
        audit.note(entry.with_detail(&schedule.name));
        Ok((schedule, is_new))
    };
    let (schedule, is_new) = run_detached("changing a schedule", putting).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(schedule)))
}

/// Removes a schedule.
#[utoipa::path(
    delete, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name", example = "user_events_report")),
    responses(
        (status = 204, description = "The schedule was removed; its running tasks continue"),
        AdministratorsOnly,
        NoSuchSchedule,
    )
)]
pub async fn delete_schedule(
    State(schedules): State<Schedules>,
    State(audit): State<Audit>,
    user: CurrentUser,
    _: Administrator,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    let deleting = async move {
        schedules.delete(name.clone()).await?;
        audit.note(Entry::of(Action::ScheduleDeleted, user.actor()).with_detail(name));
        Ok(StatusCode::NO_CONTENT)
    };
    run_detached("deleting a schedule", deleting).await
}

/// Runs a schedule now, even if it is disabled.
///
/// Its due time does not change. The task belongs to the caller.
#[utoipa::path(
    post, path = "/v1/schedules/{name}/run", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name", example = "user_events_report"),
        IdempotencyKey,
    ),
    responses(
        (status = 202, description = "The report was created and will be sent", body = TaskView,
            headers(("Location" = String, description = "The task"), ("Retry-After" = u64, description = "Seconds to wait before the next request"))),
        AdministratorsOnly,
        NoSuchSchedule,
    )
)]
pub async fn run_schedule(
    State(schedules): State<Schedules>,
    State(audit): State<Audit>,
    user: CurrentUser,
    _: Administrator,
    Path(name): Path<String>,
    parts: Parts,
) -> Result<Response, Error> {
    let key = idempotency::key(&parts, &user.id.0.to_string())?;
    let request_key = key.map(|key| (key, fingerprint(&[&name])));
    let running = async move {
        let task = schedules.run(user.id, name.clone(), request_key).await?;
        let entry = Entry::of(Action::ScheduleRun, user.actor()).with_task(task.task_id);
        audit.note(entry.with_detail(name));
        Ok(task)
    };
    let task = run_detached("running a schedule", running).await?;
    let location = task.links.this.clone();
    Ok(accepted(Some(&location), task))
}
