//! `POST /v1/data_processor/upload`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use common::problem::Problem;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskKind};
use futures_util::{StreamExt, TryStreamExt};

use super::body::{ByteStream, FileBody, read_form};
use super::{Uploads, file_name};
use crate::error::ApiError;
use crate::http::accepted::accepted;
use crate::http::access::CurrentUser;
use crate::http::body::Parameters;
use crate::http::detached::to_the_end;
use crate::http::idempotency;

/// The form of an upload.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document")]
pub struct UploadForm {
    /// A column of the groups; repeats. `Song` and `Date` where absent.
    #[schema(nullable = false)]
    group_by: Option<Vec<String>>,
    /// A column to sum; repeats. `Number of Plays` where absent.
    #[schema(nullable = false)]
    sum: Option<Vec<String>>,
    /// Another name for the last sum in the header of the output.
    #[schema(nullable = false, min_length = 1)]
    total_header: Option<String>,
    /// `fail` (the default) or `skip`.
    #[schema(nullable = false)]
    on_bad_row: Option<common::task::spec::OnBadRow>,
    /// Memory for the groups, such as `256MiB`, where less than the worker allows.
    #[schema(nullable = false, min_length = 1)]
    memory_limit: Option<String>,
    /// The CSV file, after all other fields.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Uploads a CSV file, which gzip or zstd may have compressed, to be aggregated: sums by groups of
/// equal values.
///
/// The file is the field `file` of a multipart form, after the parameters, or the raw body with
/// `?file_name=`. Parameters may be query parameters too.
#[utoipa::path(
    post, path = "/v1/data_processor/upload", tag = "data_processor",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same file, name and parameters gets the same answer for 24 hours"),
        ("file_name" = Option<String>, Query, description = "The file's name, where the body is the file itself"),
        ("group_by" = Option<Vec<String>>, Query, description = "A column of the groups; repeats"),
        ("sum" = Option<Vec<String>>, Query, description = "A column to sum; repeats"),
        ("total_header" = Option<String>, Query, description = "Another name for the last sum"),
        ("on_bad_row" = Option<common::task::spec::OnBadRow>, Query, description = "`fail` or `skip`"),
        ("memory_limit" = Option<String>, Query, description = "Memory for the groups, such as `256MiB`"),
    ),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 202, description = "The file is stored and will be processed", body = AcceptedTask,
            headers(("Location" = String, description = "The task"), ("Retry-After" = u64, description = "Seconds until it is worth asking"))),
        (status = 400, description = "The form cannot be read, or the connection broke", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The task was stopped while its file arrived, or a request with the same key is under way", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body's type is not supported", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter does not hold, the file is empty or no CSV, or the key was used for another content", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn upload_csv(
    State(uploads): State<Uploads>,
    user: CurrentUser,
    parameters: Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    upload(TaskKind::CsvAggregation, uploads, user, parameters, request).await
}

/// Receives the file of a request and makes it a task of `kind`.
pub async fn upload(
    kind: TaskKind,
    uploads: Uploads,
    user: CurrentUser,
    parameters: Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    let receiving = receive(kind, uploads, user, parameters, request);
    let task = to_the_end("an upload", receiving).await?;
    let location = task.task.links.this.clone();
    Ok(accepted(Some(&location), task))
}

async fn receive(
    kind: TaskKind,
    uploads: Uploads,
    user: CurrentUser,
    mut parameters: Parameters,
    request: Request,
) -> Result<AcceptedTask, ApiError> {
    let (parts, body) = request.into_parts();
    let body: ByteStream = body.into_data_stream().map_err(Into::into).boxed();
    let name = parameters.take("file_name");
    let (file, given_name) = match content(kind, &parts.headers)? {
        Content::Form { boundary } => {
            let form = read_form(body, boundary).await?;
            parameters.0.extend(form.parameters);
            (form.file, name.or(form.file_name))
        }
        Content::Raw => match name {
            Some(name) => (FileBody::Raw(body), Some(name)),
            None => {
                FileBody::Raw(body).drain().await;
                return Err(ApiError::invalid(
                    "file_name",
                    "is missing: a raw body needs ?file_name=",
                ));
            }
        },
    };
    let mut file = file;
    let key = idempotency::key(&parts, &user.id.0.to_string());
    let prepared = prepared(kind, &parts.headers, &uploads, &parameters);
    let received = match key.and_then(|key| Ok((key, prepared?))) {
        Ok((key, spec)) => {
            let file_name = file_name::clean(given_name.as_deref().unwrap_or_default());
            let request = super::Request { owner: user.id, spec, file_name, key };
            uploads.receive(request, &mut file).await
        }
        Err(error) => Err(error),
    };
    if received.is_err() {
        file.drain().await;
    }
    received
}

/// What can be refused before a byte of the file is read.
fn prepared(
    kind: TaskKind,
    headers: &HeaderMap,
    uploads: &Uploads,
    parameters: &Parameters,
) -> Result<TaskSpec, ApiError> {
    let spec =
        TaskSpec::from_parameters(kind, &parameters.0).map_err(ApiError::InvalidParameters)?;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // A form is a little longer than its file: only what is clearly too large is seen here.
    if length.is_some_and(|length: u64| length > uploads.limit.saturating_add(FORM_OVERHEAD)) {
        return Err(ApiError::TooLarge { limit: uploads.limit });
    }
    Ok(spec)
}

/// More than the boundaries and fields of any form that is accepted take.
const FORM_OVERHEAD: u64 = 8 << 20;

enum Content {
    Form { boundary: String },
    Raw,
}

fn content(kind: TaskKind, headers: &HeaderMap) -> Result<Content, ApiError> {
    let given = match headers.get(header::CONTENT_TYPE) {
        None => return Ok(Content::Raw),
        Some(value) => value.to_str().unwrap_or_default(),
    };
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => multer::parse_boundary(given)
            .map(|boundary| Content::Form { boundary })
            .map_err(|_| ApiError::BadRequest("The multipart form names no boundary.".to_owned())),
        _ if !kind.reads_csv() => Ok(Content::Raw),
        // curl sends the last one of these unless told otherwise.
        ""
        | "application/csv"
        | "application/octet-stream"
        | "application/vnd.ms-excel"
        | "application/x-www-form-urlencoded" => Ok(Content::Raw),
        essence if essence.starts_with("text/") => Ok(Content::Raw),
        _ => Err(ApiError::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "upload takes multipart/form-data, or the file itself as text/csv or \
                       application/octet-stream",
        }),
    }
}
