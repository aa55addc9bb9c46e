//! `/v1/tasks/events` and `/v1/tasks/{id}/events`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use chrono::{DateTime, SecondsFormat};
use common::clock;
use common::problem::Problem;
use common::task::{TaskId, TaskView};
use futures_util::{Stream, StreamExt};

use super::{Change, Changes, Listener, changed_since, current};
use crate::db::Database;
use crate::error::ApiError;
use crate::http::access::CurrentUser;
use crate::http::body::TaskPath;

/// When a client is to reconnect.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often a comment shows that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A task as server-sent events: at once as it is, then at every change.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/events", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "Events `task`, each with the task as JSON; the id is the time of the change", body = TaskView, content_type = "text/event-stream"),
        (status = 404, description = "There is no such task", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn task_events(
    State(db): State<Database>,
    State(changes): State<Changes>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Listening starts before the first look, so that no change falls between the two.
    let receiver = changes.listen(user.id);
    let first = current(&db, user.id, id).await?.ok_or(ApiError::TaskNotFound)?;
    Ok(stream(
        Listener { db, user: user.id, only: Some(id), receiver, closed: changes.closed },
        vec![first],
        user,
    ))
}

/// All tasks of the caller as server-sent events, at every change; with `Last-Event-ID`, all that
/// have changed since then first.
#[utoipa::path(
    get, path = "/v1/tasks/events", tag = "tasks",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen")),
    responses((status = 200, description = "Events `task`, each with a task as JSON; the id is the time of the change", body = TaskView, content_type = "text/event-stream"))
)]
pub async fn all_task_events(
    State(db): State<Database>,
    State(changes): State<Changes>,
    user: CurrentUser,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let receiver = changes.listen(user.id);
    let since = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| DateTime::parse_from_rfc3339(id).ok());
    let missed = match since {
        Some(since) => changed_since(&db, user.id, since.naive_utc()).await?,
        None => Vec::new(),
    };
    let listener = Listener { db, user: user.id, only: None, receiver, closed: changes.closed };
    Ok(stream(listener, missed, user))
}

fn stream(
    listener: Listener,
    first: Vec<Change>,
    user: CurrentUser,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let pending = VecDeque::from(first);
    let events =
        futures_util::stream::unfold((listener, pending), |(mut listener, mut pending)| async {
            while pending.is_empty() {
                pending.extend(listener.next().await?);
            }
            let event = pending.pop_front().map(|change| Ok(to_event(&change)))?;
            Some((event, (listener, pending)))
        });
    Sse::new(events.take_until(end_of_session(user)))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// When the token expires: the client reconnects, with a new one.
async fn end_of_session(user: CurrentUser) {
    match user.session {
        Some(session) => {
            let left = session.expires_at - clock::now();
            tokio::time::sleep(left.to_std().unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}

fn to_event(change: &Change) -> Event {
    let id = change.changed_at.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true);
    let event = Event::default().event("task").id(id).retry(RECONNECT);
    // A view is plain data; where it could not be written, the id still tells of the change.
    event.clone().json_data(&change.task).unwrap_or(event)
}
