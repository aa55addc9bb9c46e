//! `/v1/tasks/events` and `/v1/tasks/{id}/events`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use common::task::{TaskOwner, UserId};
use futures_util::StreamExt;
use utoipa::ToSchema;

use crate::api::middleware::access::{Authenticator, CurrentUser};
use crate::api::openapi::shared::{ForeignState, NoSuchTask};
use crate::api::request::path::TaskPath;
use crate::api::session_end::session_end;
use crate::db::Database;
use crate::error::Error;
use crate::live::{Change, Changes, Subscription};
use crate::views;

/// When a client should reconnect.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often a comment keeps the connection alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Keep browsers and proxies from buffering events (nginx reads the second header).
const NO_BUFFERS: [(&str, &str); 2] = [("cache-control", "no-store"), ("x-accel-buffering", "no")];

/// An event of a stream: the fields of its lines.
#[expect(dead_code, reason = "it describes what axum writes")]
#[derive(ToSchema)]
pub struct TaskEvent {
    /// Always `task`.
    event: String,
    /// The time of the change, for `Last-Event-ID`.
    #[schema(format = DateTime)]
    id: String,
    /// After how many milliseconds to reconnect if the connection breaks.
    retry: u64,
    /// The task as JSON, as `GET /v1/tasks/{id}` shows it.
    data: String,
}

/// A task as server-sent events: its current state immediately, then every change.
///
/// The stream ends with the event of the task's end (`processed`, `failed`, `stopped` or `killed`).
/// A client that reconnects with that event's id as `Last-Event-ID`, as browsers do automatically,
/// gets 204, which makes a browser stop. Open the stream again after a resume.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/events", tag = "tasks",
    params(
        TaskPath,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last received event"),
    ),
    responses(
        (status = 200, description = "Events `task`, each with the task as JSON; the id is the time of the change", body = TaskEvent, content_type = "text/event-stream"),
        (status = 204, description = "The task has ended, and `Last-Event-ID` is its last event: no event follows"),
        NoSuchTask,
        ForeignState,
    )
)]
pub async fn task_events(
    State(db): State<Database>,
    State(changes): State<Changes>,
    State(authenticator): State<Authenticator>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let owner = user.owner_of(&db, id).await?;
    let shown = administrator(&db, user, owner).await?;
    match changes.watch(db, owner, id, last_event(&headers)).await? {
        Some(subscription) => Ok(stream(subscription, shown, end_of(authenticator, user))),
        None => Ok((StatusCode::NO_CONTENT, NO_BUFFERS).into_response()),
    }
}

/// All tasks of the caller as server-sent events, at every change; with `Last-Event-ID`, starts
/// with those that have changed since then.
#[utoipa::path(
    get, path = "/v1/tasks/events", tag = "tasks",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last received event")),
    responses((status = 200, description = "Events `task`, each with a task as JSON; the id is the time of the change", body = TaskEvent, content_type = "text/event-stream"))
)]
pub async fn all_task_events(
    State(db): State<Database>,
    State(changes): State<Changes>,
    State(authenticator): State<Authenticator>,
    user: CurrentUser,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let shown = administrator(&db, user, user.id).await?;
    let subscription = changes.watch_all(db, user.id, last_event(&headers)).await?;
    Ok(stream(subscription, shown, end_of(authenticator, user)))
}

/// An administrator who watches tasks.
#[derive(Debug, Clone)]
struct Administrator {
    id: UserId,
    /// The owner of all tasks of the stream.
    owner: TaskOwner,
}

/// The user as an administrator, if the user is one.
async fn administrator(
    db: &Database,
    user: CurrentUser,
    owner: UserId,
) -> Result<Option<Administrator>, Error> {
    if !user.is_administrator() {
        return Ok(None);
    }
    let owner = db.read(move |conn| views::owner(conn, owner)).await?;
    Ok(Some(Administrator { id: user.id, owner }))
}

/// The time of the last event that the client received.
fn last_event(headers: &HeaderMap) -> Option<NaiveDateTime> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    DateTime::parse_from_rfc3339(id).ok().map(|time| time.naive_utc())
}

fn stream(
    subscription: Subscription,
    viewer: Option<Administrator>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let events = futures_util::stream::unfold(
        (subscription, VecDeque::new(), viewer),
        |(mut subscription, mut pending, viewer)| async {
            while pending.is_empty() {
                pending.extend(subscription.next().await?);
            }
            let mut change: Change = pending.pop_front()?;
            if let Some(Administrator { id, owner }) = &viewer {
                views::show_to_administrator(&mut change.task, owner.clone(), *id);
            }
            Some((Ok::<_, Infallible>(to_event(&change)), (subscription, pending, viewer)))
        },
    );
    let heartbeats = KeepAlive::new().interval(HEARTBEAT);
    (NO_BUFFERS, Sse::new(events.take_until(end)).keep_alive(heartbeats)).into_response()
}

/// Resolves when the session ends, or the user has another role: the client reconnects, and sees what
/// that role may see.
async fn end_of(authenticator: Authenticator, user: CurrentUser) {
    session_end(authenticator, user, move |role| role == user.role()).await;
}

fn to_event(change: &Change) -> Event {
    let id = change.changed_at.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true);
    let event = Event::default().event("task").id(id).retry(RECONNECT);
    // A view is plain data; if it could not be serialized, the id would still announce the change.
    event.clone().json_data(&change.task).unwrap_or(event)
}
