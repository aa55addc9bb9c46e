//! `POST /v1/data_processor/upload`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use common::problem::Problem;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskKind};

use super::body::{FileBody, incoming};
use super::draft::Purpose;
use super::form::read_form;
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
        (status = 408, description = "No byte arrived for `upload_idle_timeout`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The task was stopped while its file arrived, or a request with the same key is under way", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body's type is not supported", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter does not hold, the file is empty or no CSV, or the key was used for another content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server cannot take the file now; `outcome_unknown` if it may have taken it", body = Problem, content_type = "application/problem+json"),
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
    let body = incoming(body.into_data_stream(), uploads.idle.0);
    let name = parameters.take("file_name");
    let (mut file, given_name) = match content(kind, &parts.headers) {
        Ok(Content::Form { boundary }) => {
            let form = read_form(body, boundary).await?;
            parameters.0.extend(form.parameters);
            let name = name.filter(|name| !name.is_empty()).or(form.file_name);
            (FileBody::Form(form.file), name)
        }
        Ok(Content::Raw) if name.is_some() => (FileBody::Raw(body), name),
        refused => {
            FileBody::Raw(body).linger();
            let missing = "is missing: a raw body needs ?file_name=";
            return Err(refused.err().unwrap_or_else(|| ApiError::invalid("file_name", missing)));
        }
    };
    let key = idempotency::key(&parts, &user.id.0.to_string());
    let prepared = prepared(kind, &parts.headers, &uploads, &parameters);
    let received = match key.and_then(|key| Ok((key, prepared?))) {
        Ok((key, spec)) => {
            let file_name = file_name::clean(given_name.as_deref().unwrap_or_default(), kind);
            let purpose = Purpose { owner: user.id, spec, file_name };
            uploads.receive(purpose, key, &mut file).await
        }
        Err(error) => Err(error),
    };
    if received.is_err() {
        file.linger();
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
    let limit = uploads.drafts.limit;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // A form is a little longer than its file: only what is clearly too large is seen here.
    if length.is_some_and(|length: u64| length > limit.saturating_add(FORM_OVERHEAD)) {
        return Err(ApiError::TooLarge { limit });
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
