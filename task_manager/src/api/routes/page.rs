//! The page for people: static files, which use the API as any other client does.
//!
//! # Invariants
//! - A browser runs no script, style or frame but those of these files (Content-Security-Policy), so that
//!   a text which a user wrote cannot become code.
//! - A browser asks whether its copy of a file is still the same one, so that an upgrade of the server takes
//!   effect at the next visit.
//!
//! # Not here
//! Which screen an address shows: `page/router.js` decides it in the browser.

mod files;

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::api::response::conditional::{Selection, select};
use crate::api::response::negotiation::prefers_html;
use files::File;

/// The addresses of screens, besides `/`.
pub const SCREENS: [&str; 8] = [
    "/tasks",
    "/tasks/{id}",
    "/statistics",
    "/messages",
    "/events",
    "/operations",
    "/account",
    "/login",
];

/// What the page may load, all of it from this server. `data:` is for images of styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// Shows the page; its script chooses the screen.
pub async fn screen(method: Method, headers: HeaderMap) -> Response {
    answer(StatusCode::OK, files::find("index.html"), &method, &headers)
}

/// Returns a file of the page.
pub async fn file(Path(path): Path<String>, method: Method, headers: HeaderMap) -> Response {
    answer(StatusCode::OK, files::find(&path), &method, &headers)
}

/// Answers requests for unknown addresses: a page for people, a problem document for programs.
pub async fn not_found(method: Method, headers: HeaderMap) -> Response {
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let page = files::find("index.html").filter(|_| is_read && prefers_html(&headers));
    answer(StatusCode::NOT_FOUND, page, &method, &headers)
}

/// Leads a browser that opens a task of the API, or the list of tasks, to its screen.
pub async fn lead_browsers(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let screen =
        screen_of(request.uri().path()).filter(|_| is_read && prefers_html(request.headers()));
    match screen {
        Some(screen) => ([(header::VARY, "accept")], Redirect::to(&screen)).into_response(),
        None => next.run(request).await,
    }
}

/// The screen that shows what a path of the API shows.
fn screen_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1/tasks")?;
    match rest.strip_prefix('/') {
        None => rest.is_empty().then(|| "/tasks".to_owned()),
        Some(id) => {
            let id = id.strip_prefix("status/").unwrap_or(id);
            let is_id = id.parse::<uuid::Uuid>().is_ok();
            is_id.then(|| format!("/tasks/{id}"))
        }
    }
}

fn answer(
    status: StatusCode,
    file: Option<&File>,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    let known = [
        (header::ETAG, file.etag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let size = file.bytes.len() as u64;
    let is_unchanged = select(method, headers, &file.etag, size) == Selection::Unchanged;
    if status == StatusCode::OK && is_unchanged {
        return (StatusCode::NOT_MODIFIED, known).into_response();
    }
    let media_type = HeaderValue::from_static(file.media_type);
    (status, known, [(header::CONTENT_TYPE, media_type)], file.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_tasks_lead_to_their_screens() {
        let id = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10";
        for (path, screen) in [
            ("/v1/tasks".to_owned(), Some("/tasks".to_owned())),
            (format!("/v1/tasks/{id}"), Some(format!("/tasks/{id}"))),
            (format!("/v1/tasks/status/{id}"), Some(format!("/tasks/{id}"))),
            (format!("/v1/tasks/{id}/events"), None),
            ("/v1/tasks/counts".to_owned(), None),
            ("/v1/tasksx".to_owned(), None),
            (format!("/v1/data_processor/download/{id}"), None),
        ] {
            assert_eq!(screen_of(&path), screen, "{path}");
        }
    }
}
