//! Downloads: the result of a task and its rejected rows, with ranges and conditions, or by a
//! redirection to the bucket.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::report::Output;
use common::storage::{ObjectKey, OutputPart, Storage};
use common::task::TaskId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::{IntoParams, IntoResponses};

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::NoSuchTask;
use crate::api::request::path::TaskPath;
use crate::api::response::conditional::{Selection, select};
use crate::db::Database;
use crate::error::Error;
use crate::tasks::outputs::accepted_output;
use crate::tasks::store;

/// How long a client may take to follow a redirection.
const PRESIGNED_FOR: Duration = Duration::from_secs(15 * 60);

/// Whether downloads are redirected to the bucket, if the files are in one.
#[derive(Debug, Clone, Copy)]
pub struct PresignedDownloads(pub bool);

/// Selects a part of a file.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct PartOfFile {
    /// One range of bytes
    #[param(rename = "Range")]
    range: Option<String>,
    /// Send the range only if this is still the ETag
    #[param(rename = "If-Range")]
    if_range: Option<String>,
}

/// The responses to a download.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes responses in the OpenAPI document")]
pub enum DownloadResponses {
    /// The whole file
    #[response(status = 200, content_type = "text/csv")]
    Whole(String),
    /// The requested range
    #[response(status = 206, content_type = "text/csv")]
    Part(String),
    /// The file is at this address in the bucket for 15 minutes (`presigned_downloads`)
    #[response(status = 307, headers(("Location" = String)))]
    Elsewhere,
    /// The ETag still matches If-None-Match
    #[response(status = 304)]
    Unchanged,
    /// The task has no such file (`no_result`) or none yet (`not_ready`, with Retry-After)
    #[response(status = 409)]
    NoFile,
    /// The files are gone
    #[response(status = 410)]
    Gone,
    /// The file has none of the ETags in If-Match
    #[response(status = 412)]
    Changed,
    /// The range is outside of the file
    #[response(status = 416)]
    Outside,
}

/// Downloads the result of a task.
#[utoipa::path(
    get,
    path = "/v1/data_processor/download/{id}",
    tag = "data_processor",
    params(TaskPath, PartOfFile),
    responses(DownloadResponses, NoSuchTask)
)]
pub async fn download_result(download: Download) -> Result<Response, Error> {
    download.respond(OutputPart::Result).await
}

/// Downloads the rows that an aggregation rejected: `line,column,field,value,reason`.
#[utoipa::path(
    get,
    path = "/v1/data_processor/rejected/{id}",
    tag = "data_processor",
    params(TaskPath, PartOfFile),
    responses(DownloadResponses, NoSuchTask)
)]
pub async fn download_rejected(download: Download) -> Result<Response, Error> {
    download.respond(OutputPart::Rejected).await
}

/// A request for a file of a task.
pub struct Download {
    db: Database,
    storage: Storage,
    presigned: PresignedDownloads,
    user: CurrentUser,
    id: TaskId,
    method: Method,
    headers: HeaderMap,
}

impl<S> FromRequestParts<S> for Download
where
    S: Send + Sync,
    Database: FromRef<S>,
    Storage: FromRef<S>,
    PresignedDownloads: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        let TaskPath(id) = TaskPath::from_request_parts(parts, state).await?;
        Ok(Self {
            db: Database::from_ref(state),
            storage: Storage::from_ref(state),
            presigned: PresignedDownloads::from_ref(state),
            user,
            id,
            method: parts.method.clone(),
            headers: parts.headers.clone(),
        })
    }
}

impl Download {
    async fn respond(self, part: OutputPart) -> Result<Response, Error> {
        let Self { db, storage, presigned, user, id, method, headers } = self;
        let task = db.read(move |conn| store::find_owned(conn, user.id, id)).await?;
        let task = task.ok_or(Error::TaskNotFound)?;
        let (output, attempt) = accepted_output(&task, part)?;
        let key = ObjectKey::Output { task_id: id, attempt, part };
        // The output of an attempt never changes, so the attempt is a strong tag.
        let etag = format!("\"{id}-{attempt}\"");
        let file = storage.open(key, None).await?;
        let size = file.size();

        let mut response = StatusCode::OK.into_response();
        let to_value = |text: String| HeaderValue::try_from(text).map_err(|_| Error::Internal);
        let answer = response.headers_mut();
        answer.insert(header::ETAG, to_value(etag.clone())?);
        answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let range = match select(&method, &headers, &etag, size) {
            Selection::Unchanged => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
            Selection::PreconditionFailed => return Err(Error::PreconditionFailed),
            Selection::NotSatisfiable => return Err(Error::RangeNotSatisfiable { size }),
            Selection::Whole => 0..size,
            Selection::Part(range) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                response.headers_mut().insert(header::CONTENT_RANGE, to_value(content_range)?);
                range
            }
        };
        let media_type = output.media_type.clone();
        let disposition = disposition(&file_name(output, part));
        if presigned.0 && method == Method::GET {
            // The client repeats its range there.
            let url = storage.presigned(key, &disposition, &media_type, PRESIGNED_FOR).await?;
            if let Some(url) = url {
                return redirect(to_value(url)?);
            }
        }
        let answer = response.headers_mut();
        answer.insert(header::CONTENT_TYPE, to_value(media_type)?);
        answer.insert(header::CONTENT_DISPOSITION, to_value(disposition)?);
        answer.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        if method == Method::GET && !range.is_empty() {
            *response.body_mut() = Body::from_stream(file.part(range).into_stream().await?);
        }
        Ok(response)
    }
}

/// The address is only for this client and expires.
fn redirect(location: HeaderValue) -> Result<Response, Error> {
    let no_store = HeaderValue::from_static("no-store");
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, no_store)];
    Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

fn file_name(output: &Output, part: OutputPart) -> String {
    match part {
        OutputPart::Result => output.file_name.clone(),
        OutputPart::Rejected => {
            let stem = output.file_name.strip_suffix(".csv").unwrap_or(&output.file_name);
            format!("{stem}.rejected.csv")
        }
    }
}

/// The characters beside letters and digits that both RFC 8187 and URIs allow in a name.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The `Content-Disposition` of a name (RFC 6266): in ASCII for old clients, and encoded (RFC
/// 8187). By hand, since `Attachment` of axum-extra 0.12.6 takes ASCII names only and panics on
/// others.
fn disposition(name: &str) -> String {
    let ascii: String = name
        .chars()
        .map(|c| if (' '..='~').contains(&c) && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    let encoded = utf8_percent_encode(name, PLAIN);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_any_script_survive() {
        assert_eq!(
            disposition("Größe \"1\".csv"),
            "attachment; filename=\"Gr__e _1_.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22.csv"
        );
    }
}
