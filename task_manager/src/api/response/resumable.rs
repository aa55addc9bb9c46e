//! How resumable uploads are shown: in headers, by tus and by the drafts for HTTP, and as JSON.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDateTime, Utc};
use common::task::TaskId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::request::resumable::{
    Dialect, UPLOAD_COMPLETE, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH,
    UPLOAD_LIMIT, UPLOAD_METADATA, UPLOAD_OFFSET,
};
use crate::lifecycle::resumable::append::Appended;
use crate::lifecycle::resumable::store::ResumableUpload;
use crate::lifecycle::resumable::{Role, UploadState};

/// The id of the task that an upload becomes, and whether it is an earlier one with the same file.
pub const TASK_ID: HeaderName = HeaderName::from_static("task-id");
pub const TASK_RESUMED: HeaderName = HeaderName::from_static("task-resumed");

/// Where the bytes of an upload are.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResumableUploadView {
    /// The upload's id.
    #[schema(value_type = uuid::Uuid)]
    upload_id: TaskId,
    /// The task that it becomes: its own, or, once it is complete, the earlier one that it resumed.
    /// `null` for a partial upload.
    #[schema(value_type = Option<uuid::Uuid>)]
    task_id: Option<TaskId>,
    /// How many bytes are stored.
    offset: u64,
    /// The size of the whole file in bytes, if known.
    length: Option<u64>,
    /// Whether the upload is complete, and its task, if it has one, was created.
    is_complete: bool,
    /// Whether the file resumed an earlier task.
    resumed: bool,
    /// `single`, `partial` (a part of another upload) or `final` (made of partial ones).
    #[schema(example = "single")]
    role: &'static str,
    /// When it will be removed if no more bytes arrive.
    expires_at: DateTime<Utc>,
    /// Related resources.
    links: ResumableUploadLinks,
}

/// The links of an upload.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResumableUploadLinks {
    /// The upload.
    #[serde(rename = "self")]
    this: String,
    /// Its task.
    task: Option<String>,
}

impl ResumableUploadView {
    /// The upload as it is.
    pub fn of(upload: &ResumableUpload) -> Self {
        let task_id = task_of(upload);
        Self {
            upload_id: upload.id,
            task_id,
            offset: upload.received,
            length: upload.size,
            is_complete: upload.state == UploadState::Done,
            resumed: is_resumed(upload.id, upload.task_id),
            role: upload.role.as_str(),
            expires_at: upload.expires_at.and_utc(),
            links: ResumableUploadLinks {
                this: location(upload.id),
                task: task_id.map(|id| format!("/v1/tasks/{id}")),
            },
        }
    }
}

fn location(id: TaskId) -> String {
    format!("/v1/uploads/{id}")
}

/// The task that an upload becomes or became.
fn task_of(upload: &ResumableUpload) -> Option<TaskId> {
    upload.task_id.or((upload.role != Role::Partial).then_some(upload.id))
}

fn is_resumed(id: TaskId, task_id: Option<TaskId>) -> bool {
    task_id.is_some_and(|task_id| task_id != id)
}

/// The response to a request that asks where an upload continues.
pub fn offset_response(dialect: Dialect, upload: &ResumableUpload, limit: u64) -> Response {
    let mut response = match dialect {
        Dialect::Tus => StatusCode::OK.into_response(),
        Dialect::Draft03 | Dialect::Draft05 => StatusCode::NO_CONTENT.into_response(),
    };
    let answer = response.headers_mut();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    state_headers(answer, dialect, upload);
    if dialect == Dialect::Tus {
        if upload.size.is_none() {
            answer.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1"));
        }
        insert(answer, UPLOAD_METADATA, upload.metadata.clone());
        insert(answer, UPLOAD_CONCAT, concatenation(upload.role, &upload.parts));
    } else {
        insert(answer, UPLOAD_LIMIT, Some(format!("max-size={limit}")));
    }
    response
}

/// The response to a request that created an upload.
pub fn created_response(dialect: Dialect, upload: &ResumableUpload) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    let answer = response.headers_mut();
    insert(answer, header::LOCATION, Some(location(upload.id)));
    state_headers(answer, dialect, upload);
    response
}

/// The response to a request that appended bytes.
pub fn appended_response(dialect: Dialect, id: TaskId, appended: &Appended) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(UPLOAD_OFFSET, HeaderValue::from(appended.offset));
    insert(answer, UPLOAD_EXPIRES, Some(http_date(appended.expires_at)));
    if dialect != Dialect::Tus {
        insert_complete(answer, appended.is_complete);
    }
    if let Some(task) = &appended.task {
        insert(answer, TASK_ID, Some(task.task.task_id.to_string()));
        if is_resumed(id, Some(task.task.task_id)) {
            answer.insert(TASK_RESUMED, HeaderValue::from_static("true"));
        }
    }
    response
}

/// The headers that every response on the state of an upload has.
fn state_headers(answer: &mut HeaderMap, dialect: Dialect, upload: &ResumableUpload) {
    let is_done = upload.state == UploadState::Done;
    if is_done || upload.role != Role::Final {
        answer.insert(UPLOAD_OFFSET, HeaderValue::from(upload.received));
    }
    if let Some(size) = upload.size {
        answer.insert(UPLOAD_LENGTH, HeaderValue::from(size));
    }
    if dialect != Dialect::Tus {
        insert_complete(answer, upload.state != UploadState::Receiving);
    }
    insert(answer, UPLOAD_EXPIRES, Some(http_date(upload.expires_at)));
    insert(answer, TASK_ID, task_of(upload).map(|id| id.to_string()));
    if is_resumed(upload.id, upload.task_id) {
        answer.insert(TASK_RESUMED, HeaderValue::from_static("true"));
    }
}

fn insert_complete(answer: &mut HeaderMap, is_complete: bool) {
    let value = if is_complete { "?1" } else { "?0" };
    answer.insert(UPLOAD_COMPLETE, HeaderValue::from_static(value));
}

fn concatenation(role: Role, parts: &[TaskId]) -> Option<String> {
    match role {
        Role::Single => None,
        Role::Partial => Some("partial".to_owned()),
        Role::Final => {
            let urls: Vec<String> = parts.iter().map(|id| location(*id)).collect();
            Some(format!("final;{}", urls.join(" ")))
        }
    }
}

fn insert(answer: &mut HeaderMap, name: HeaderName, value: Option<String>) {
    answer.extend(value.and_then(|text| HeaderValue::try_from(text).ok()).map(|it| (name, it)));
}

fn http_date(time: NaiveDateTime) -> String {
    httpdate::fmt_http_date(SystemTime::from(time.and_utc()))
}
