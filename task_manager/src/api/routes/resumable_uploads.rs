//! `/v1/uploads`: uploads that several requests continue, by tus 1.0.0 and by the drafts of
//! resumable uploads for HTTP.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use common::task::TaskId;
use tokio::time::timeout;
use utoipa::{IntoParams, IntoResponses};

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::detached::run_detached;
use crate::api::request::file::FileBody;
use crate::api::request::idempotency;
use crate::api::request::incoming::Incoming;
use crate::api::request::parameters::Parameters;
use crate::api::request::path::UploadPath;
use crate::api::request::resumable::metadata::{check_named, purpose};
use crate::api::request::resumable::{
    self, Creation, Dialect, METHOD_OVERRIDE, UPLOAD_METADATA, content_length,
};
use crate::api::response::resumable::{
    ResumableUploadView, appended_response, created_response, offset_response,
};
use crate::error::Error;
use crate::idempotency::Key;
use crate::lifecycle::resumable::append::Chunk;
use crate::lifecycle::resumable::concatenate::NewFinal;
use crate::lifecycle::resumable::{Created, NewUpload, ResumableUploads};
use crate::log_fields::log_task;

/// How long the request for a final upload waits for its task. Joining and hashing large parts
/// takes longer, and continues behind the answer.
const FINAL_PATIENCE: Duration = Duration::from_secs(10);

/// Names the protocol.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a parameter in the OpenAPI document")]
pub struct TusVersion {
    /// `1.0.0`
    #[param(rename = "Tus-Resumable")]
    tus_resumable: Option<String>,
}

/// Protects the bytes of a request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a parameter in the OpenAPI document")]
pub struct UploadChecksum {
    /// `sha1` or `sha256` and the hash of the body in Base64
    #[param(rename = "Upload-Checksum")]
    upload_checksum: Option<String>,
}

/// Why an upload request is refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes responses in the OpenAPI document")]
pub enum UploadRefused {
    /// A header is missing or malformed, or the connection broke
    #[response(status = 400)]
    Malformed,
    /// The upload does not exist, has expired or was terminated
    #[response(status = 404)]
    Missing,
    /// The task was stopped, and the upload is gone
    #[response(status = 410)]
    Stopped,
    /// The protocol or its version is not supported
    #[response(status = 412)]
    UnsupportedVersion,
}

/// Why bytes are refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes responses in the OpenAPI document")]
pub enum BytesRefused {
    /// A final upload takes no bytes
    #[response(status = 403)]
    Final,
    /// The offset does not match `Upload-Offset` of the response, or the request was interrupted
    #[response(status = 409)]
    Mismatch,
    /// The file is larger than the limit, or than its `Upload-Length`
    #[response(status = 413)]
    TooLarge,
    /// The body is not `application/offset+octet-stream`
    #[response(status = 415)]
    UnsupportedType,
    /// The file is empty or of the wrong type, or a parameter is invalid
    #[response(status = 422)]
    Invalid,
    /// Another request continues the upload
    #[response(status = 423)]
    Replaced,
    /// The bytes do not match `Upload-Checksum`
    #[response(status = 460)]
    ChecksumMismatch,
}

/// Creates an upload that can be continued after any interruption (tus 1.0.0).
///
/// `Upload-Metadata` names `filename`, `kind` (of the task: `csv_aggregation`, `csv_preview`,
/// `data_upload` or `file_statistics`, the default) and the parameters of the task; all may be query
/// parameters instead. A parameter that repeats is one metadata value with a line for each item. The
/// last byte creates the task, whose id is in `Task-Id` from the start. The body may have the first
/// bytes. With `Upload-Concat: partial`, it is a part of a file that is completed by
/// `Upload-Concat: final;URL URL …`.
///
/// Drafts 03 and 05 of resumable uploads for HTTP are supported too (`Upload-Draft-Interop-Version`
/// 5 and 6).
#[utoipa::path(
    post, path = "/v1/uploads", tag = "uploads",
    params(
        IdempotencyKey,
        TusVersion,
        ("Upload-Length" = Option<String>, Header, description = "The size of the file in bytes"),
        ("Upload-Defer-Length" = Option<String>, Header, description = "`1` if the size is not known yet"),
        ("Upload-Metadata" = Option<String>, Header, description = "Keys and Base64 values: `filename bi5jc3Y=,kind …`"),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and the URLs of the parts"),
        UploadChecksum,
        ("file_name" = Option<String>, Query, description = "The file's name"),
        ("kind" = Option<String>, Query, description = "The kind of task"),
    ),
    responses(
        (status = 201, description = "The upload is at `Location`", headers(
            ("Location" = String, description = "The upload, as a relative URL"),
            ("Upload-Offset" = u64, description = "How many bytes are stored"),
            ("Upload-Expires" = String, description = "When it is removed if no more bytes arrive"),
            ("Task-Id" = String, description = "The task that it becomes"),
        )),
        UploadRefused,
        BytesRefused,
    )
)]
pub async fn create_upload(
    State(uploads): State<ResumableUploads>,
    incoming: Incoming,
    user: CurrentUser,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let has_bytes = !body.is_end_stream();
    let mut body = FileBody::Raw(incoming.bytes(body));
    let prepared = prepare(&parts, user, parameters, has_bytes);
    let (dialect, key, new) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            body.linger();
            return Err(error);
        }
    };
    run_detached("an upload", async move {
        let created = match new {
            New::Upload(new, chunk) => {
                let created = create(&uploads, key, new, chunk, &mut body).await;
                if created.is_err() {
                    body.linger();
                }
                created?
            }
            New::Final(new) => concatenate(&uploads, key, new).await?,
        };
        Ok(created_response(dialect, &uploads.find(user.id, created).await?))
    })
    .await
}

/// What a request creates, and the bytes that it brings.
enum New {
    Upload(NewUpload, Option<Chunk>),
    Final(NewFinal),
}

fn prepare(
    parts: &Parts,
    user: CurrentUser,
    parameters: Parameters,
    has_bytes: bool,
) -> Result<(Dialect, Option<Key>, New), Error> {
    let headers = &parts.headers;
    let dialect = Dialect::of(headers)?;
    let key = idempotency::key(parts, &user.id.0.to_string())?;
    let metadata = resumable::text(headers, &UPLOAD_METADATA)?.map(str::to_owned);
    let new = match Creation::read(dialect, headers)? {
        Creation::Upload { size, is_partial } => {
            let purpose = match is_partial {
                true => check_named(headers, parameters).map(|()| None)?,
                false => Some(purpose(headers, parameters)?),
            };
            let chunk = match (has_bytes, size) {
                (true, _) => Some(resumable::chunk(dialect, headers, Some(0))?),
                // An empty file has arrived.
                (false, Some(0)) => Some(Chunk { length: Some(0), ..Chunk::default() }),
                (false, _) => None,
            };
            New::Upload(NewUpload { owner: user.id, purpose, size, metadata }, chunk)
        }
        Creation::Final { parts } => {
            let (spec, file_name) = purpose(headers, parameters)?;
            New::Final(NewFinal { owner: user.id, parts, spec, file_name, metadata })
        }
    };
    Ok((dialect, key, new))
}

async fn create(
    uploads: &ResumableUploads,
    key: Option<Key>,
    new: NewUpload,
    chunk: Option<Chunk>,
    body: &mut FileBody,
) -> Result<TaskId, Error> {
    let (owner, is_repeatable) = (new.owner, key.is_some());
    let Created { upload_id, is_repeat } = uploads.create(key, new).await?;
    log_task(upload_id);
    let Some(chunk) = chunk.filter(|_| !is_repeat) else { return Ok(upload_id) };
    match uploads.append(owner, upload_id, chunk, body).await {
        Ok(_) => Ok(upload_id),
        Err(error) => {
            // The client does not know the upload's URL, and cannot continue it.
            if !is_repeatable {
                uploads.discard(upload_id).await;
            }
            Err(error)
        }
    }
}

async fn concatenate(
    uploads: &ResumableUploads,
    key: Option<Key>,
    new: NewFinal,
) -> Result<TaskId, Error> {
    let Created { upload_id, .. } = uploads.concatenate(key, new).await?;
    log_task(upload_id);
    let completing = {
        let uploads = uploads.clone();
        run_detached("joining an upload", async move { uploads.finish_waiting(upload_id).await })
    };
    match timeout(FINAL_PATIENCE, completing).await {
        Ok(Err(error @ (Error::NotCsv(_) | Error::EmptyFile | Error::UploadRemoved(_)))) => {
            Err(error)
        }
        // It is accepted, and completed in the background if need be.
        _ => Ok(upload_id),
    }
}

/// Returns how many bytes of an upload are stored, once no request writes to it: a request that does
/// is ended, since its client asks for a new start.
#[utoipa::path(
    head, path = "/v1/uploads/{id}", tag = "uploads",
    params(UploadPath, TusVersion),
    responses(
        (status = 200, description = "The state of the upload is in the headers", headers(
            ("Upload-Offset" = u64, description = "How many bytes are stored; absent while parts are joined"),
            ("Upload-Length" = u64, description = "The size of the file, if known"),
            ("Upload-Expires" = String, description = "When it is removed if no more bytes arrive"),
            ("Task-Id" = String, description = "The task that it becomes or became"),
        )),
        (status = 204, description = "The same, by the drafts of resumable uploads for HTTP"),
        UploadRefused,
    )
)]
pub async fn show_offset(
    State(uploads): State<ResumableUploads>,
    user: CurrentUser,
    UploadPath(id): UploadPath,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let dialect = Dialect::of(&headers)?;
    let upload = uploads.settled(user.id, id).await?;
    Ok(offset_response(dialect, &upload, uploads.drafts.limit))
}

/// Appends bytes to an upload. The last ones create its task.
///
/// What has arrived is kept, however the request ends, unless it has a checksum, which does not
/// match a part of the bytes.
#[utoipa::path(
    patch, path = "/v1/uploads/{id}", tag = "uploads",
    params(
        UploadPath,
        TusVersion,
        ("Upload-Offset" = Option<String>, Header, description = "Where the bytes belong: how many are stored"),
        ("Upload-Length" = Option<String>, Header, description = "The size of the file, if it was deferred"),
        UploadChecksum,
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "The bytes are stored", headers(
            ("Upload-Offset" = u64, description = "How many bytes are stored"),
            ("Upload-Expires" = String, description = "When it is removed if no more bytes arrive"),
            ("Task-Id" = String, description = "The task that it becomes, or, once complete, became"),
            ("Task-Resumed" = bool, description = "`true` if the file resumed an earlier task"),
        )),
        UploadRefused,
        BytesRefused,
    )
)]
pub async fn append_to_upload(
    State(uploads): State<ResumableUploads>,
    incoming: Incoming,
    user: CurrentUser,
    UploadPath(id): UploadPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    append(uploads, incoming, user, id, headers, body).await
}

async fn append(
    uploads: ResumableUploads,
    incoming: Incoming,
    user: CurrentUser,
    id: TaskId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let length = if body.is_end_stream() { Some(0) } else { content_length(&headers) };
    let mut body = FileBody::Raw(incoming.bytes(body));
    let read = Dialect::of(&headers)
        .and_then(|dialect| Ok((dialect, resumable::chunk(dialect, &headers, None)?)));
    let (dialect, chunk) = match read {
        Ok((dialect, chunk)) => (dialect, Chunk { length, ..chunk }),
        Err(error) => {
            body.linger();
            return Err(error);
        }
    };
    let appended = run_detached("an upload", async move {
        let appended = uploads.append(user.id, id, chunk, &mut body).await;
        if appended.is_err() {
            body.linger();
        }
        appended
    });
    Ok(appended_response(dialect, id, &appended.await?))
}

/// Ends an upload: what has arrived is removed. An upload that created its task is forgotten; the
/// task stays.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", tag = "uploads",
    params(UploadPath, TusVersion),
    responses((status = 204, description = "The upload is removed"), UploadRefused)
)]
pub async fn terminate_upload(
    State(uploads): State<ResumableUploads>,
    user: CurrentUser,
    UploadPath(id): UploadPath,
    headers: HeaderMap,
) -> Result<StatusCode, Error> {
    Dialect::of(&headers)?;
    uploads.terminate(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows how far an upload is, without interrupting a request that writes to it.
#[utoipa::path(
    get, path = "/v1/uploads/{id}", tag = "uploads",
    params(UploadPath),
    responses((status = 200, body = ResumableUploadView), UploadRefused)
)]
pub async fn show_upload(
    State(uploads): State<ResumableUploads>,
    user: CurrentUser,
    UploadPath(id): UploadPath,
) -> Result<Json<ResumableUploadView>, Error> {
    Ok(Json(ResumableUploadView::of(&uploads.find(user.id, id).await?)))
}

/// Does what the method in `X-HTTP-Method-Override` does, for clients that can only send `POST`.
#[utoipa::path(
    post, path = "/v1/uploads/{id}", tag = "uploads",
    params(
        UploadPath,
        ("X-HTTP-Method-Override" = Option<String>, Header, description = "`PATCH`, `HEAD` or `DELETE`"),
        TusVersion,
        ("Upload-Offset" = Option<String>, Header, description = "As in `PATCH`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 200, description = "The response of `HEAD`"),
        (status = 204, description = "The response of `PATCH` or `DELETE`"),
        UploadRefused,
        BytesRefused,
    )
)]
pub async fn override_method(
    State(uploads): State<ResumableUploads>,
    incoming: Incoming,
    user: CurrentUser,
    UploadPath(id): UploadPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let method = resumable::text(&headers, &METHOD_OVERRIDE)?.unwrap_or_default();
    match Method::from_bytes(method.as_bytes()) {
        Ok(Method::PATCH) => append(uploads, incoming, user, id, headers, body).await,
        Ok(Method::HEAD) => show_offset(State(uploads), user, UploadPath(id), headers).await,
        Ok(Method::DELETE) => {
            let done = terminate_upload(State(uploads), user, UploadPath(id), headers).await?;
            Ok(done.into_response())
        }
        _ => Err(Error::BadRequest(
            "A POST to an upload needs `X-HTTP-Method-Override: PATCH`, `HEAD` or `DELETE`."
                .to_owned(),
        )),
    }
}
