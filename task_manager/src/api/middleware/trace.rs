//! Traces the requests that create a task or act on one, as part of the trace of the task.
//!
//! Requests that only read are not traced: clients poll.

use std::time::SystemTime;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use common::clock;
use common::task::TaskId;
use common::traces::{self, Caller, SpanKind};

use super::measure;

/// The routes that contain the id of a task.
const ROUTES: [&str; 2] = ["/v1/tasks/{id}", "/v1/uploads/{id}"];

/// The task that a request has created, in the extensions of a response that has no `Location`.
#[derive(Debug, Clone, Copy)]
pub struct CreatedTask(pub TaskId);

/// Records a span of the request, if it concerns a task.
pub async fn trace(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let begin = SystemTime::from(clock::now());
    let method = measure::name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let Some(route) = route else { return next.run(request).await };
    let path = request.uri().path().to_owned();
    let size = content_length(request.headers());
    let caller = Caller::of_headers(|name| request.headers().get(name)?.to_str().ok());
    let response = next.run(request).await;

    let route = route.as_str();
    let Some(task) = created(&response).or_else(|| named(route, &path)) else { return response };
    let status = response.status();
    let times = begin..SystemTime::from(clock::now());
    let Some(span) = traces::span(task, format!("{method} {route}"), times) else {
        return response;
    };
    let span = span
        .kind(SpanKind::Server)
        .attribute("http.request.method", method)
        .attribute("http.route", route.to_owned())
        .attribute("url.path", path)
        .attribute("http.response.status_code", i64::from(status.as_u16()))
        .optional("http.request.body.size", size)
        .link(caller);
    match status.is_server_error() {
        true => span.failed(status.as_str().to_owned()).record(),
        false => span.record(),
    }
    response
}

/// The task that the request has created.
fn created(response: &Response) -> Option<TaskId> {
    let location = || response.headers().get(header::LOCATION)?.to_str().ok();
    let created = response.extensions().get().map(|CreatedTask(id)| *id);
    created.or_else(|| location()?.rsplit('/').next()?.parse().ok())
}

/// The task that the path names.
fn named(route: &str, path: &str) -> Option<TaskId> {
    let prefix = ROUTES.into_iter().find(|prefix| route.starts_with(prefix))?;
    let segment = prefix.split('/').position(|segment| segment == "{id}")?;
    path.split('/').nth(segment)?.parse().ok()
}

fn content_length(headers: &HeaderMap) -> Option<i64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_is_named_by_the_path() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let task = |route, path: &str| named(route, path).map(|id| id.to_string());
        let found = task("/v1/tasks/{id}/stop", &format!("/v1/tasks/{id}/stop"));
        assert_eq!(found.as_deref(), Some(id));
        assert_eq!(task("/v1/sessions/{id}", &format!("/v1/sessions/{id}")), None);
        assert_eq!(task("/v1/tasks/{id}", "/v1/tasks/7"), None);
    }
}
