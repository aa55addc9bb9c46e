//! The extractor for requests that upload a file, for every kind of task.

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskKind};
use utoipa::{IntoParams, IntoResponses};

use crate::api::middleware::access::{Authenticator, CurrentUser};
use crate::api::request::body::media_type;
use crate::api::request::detached::run_detached;
use crate::api::request::file::form::read_form;
use crate::api::request::file::{FileBody, IdleTimeout};
use crate::api::request::idempotency;
use crate::api::request::incoming::Incoming;
use crate::api::request::parameters::Parameters;
use crate::api::response::accepted::accepted;
use crate::error::Error;
use crate::lifecycle::upload::draft::Purpose;
use crate::lifecycle::upload::{Uploads, file_name};

/// The parameters of an upload, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a parameter in the OpenAPI document")]
pub struct UploadParameters {
    /// The file's name, if the body is the file itself
    #[param(example = "table.csv")]
    file_name: Option<String>,
}

/// The responses to an upload, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(
    dead_code,
    clippy::large_enum_variant,
    reason = "describes responses in the OpenAPI document"
)]
pub enum UploadResponses {
    /// The file is stored and will be processed, or an earlier task with this file is resumed
    #[response(
        status = 202,
        headers(
            ("Location" = String, description = "The task"),
            ("Retry-After" = u64, description = "Seconds to wait before the next request"),
        )
    )]
    Accepted(AcceptedTask),
    /// The form cannot be read, or the connection broke
    #[response(status = 400)]
    Unreadable,
    /// No byte arrived for `upload_idle_timeout`
    #[response(status = 408)]
    Idle,
    /// The task was stopped while its file arrived, or a request with the same key is in progress
    #[response(status = 409)]
    Stopped,
    /// The file is too large
    #[response(status = 413)]
    TooLarge,
    /// The body's type is not supported, or it has a Content-Encoding
    #[response(status = 415)]
    UnsupportedType,
    /// A parameter is invalid or the name is missing, the file is empty or not of its kind, or the key was
    /// used for another content
    #[response(status = 422)]
    Invalid,
    /// The server cannot take the file now; `outcome_unknown` if it may have taken it
    #[response(status = 503)]
    Unavailable,
}

/// The file of a request, with everything that its task needs.
pub struct Upload {
    uploads: Uploads,
    incoming: Incoming,
    user: CurrentUser,
    parameters: Parameters,
    parts: Parts,
    body: Body,
}

impl<S> FromRequest<S> for Upload
where
    S: Send + Sync,
    Uploads: FromRef<S>,
    IdleTimeout: FromRef<S>,
    Authenticator: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        Ok(Self {
            uploads: Uploads::from_ref(state),
            incoming: Incoming::from_request_parts(&mut parts, state).await?,
            user: CurrentUser::from_request_parts(&mut parts, state).await?,
            parameters: Parameters::from_request_parts(&mut parts, state).await?,
            parts,
            body,
        })
    }
}

impl Upload {
    /// Receives the file and creates a task of `kind` for it.
    pub async fn accept(self, kind: TaskKind) -> Result<Response, Error> {
        let task = run_detached("an upload", receive(kind, self)).await?;
        let location = task.task.links.this.clone();
        Ok(accepted(Some(&location), task))
    }
}

async fn receive(kind: TaskKind, upload: Upload) -> Result<AcceptedTask, Error> {
    let Upload { uploads, incoming, user, mut parameters, parts, body } = upload;
    let body = incoming.bytes(body);
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
            return Err(refused.err().unwrap_or_else(|| Error::invalid("file_name", missing)));
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

/// Checks the parameters and the length before a byte of the file is read.
fn prepared(
    kind: TaskKind,
    headers: &HeaderMap,
    uploads: &Uploads,
    parameters: &Parameters,
) -> Result<TaskSpec, Error> {
    let spec = TaskSpec::from_parameters(kind, &parameters.0).map_err(Error::InvalidParameters)?;
    let limit = uploads.drafts.limit;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // A form is a little longer than its file, so only what is clearly too large is refused here.
    if length.is_some_and(|length: u64| length > limit.saturating_add(FORM_OVERHEAD)) {
        return Err(Error::TooLarge { limit });
    }
    Ok(spec)
}

/// More than the boundaries and fields of any accepted form take, in bytes.
const FORM_OVERHEAD: u64 = 8 << 20;

enum Content {
    Form { boundary: String },
    Raw,
}

fn content(kind: TaskKind, headers: &HeaderMap) -> Result<Content, Error> {
    let (given, media_type) = media_type(headers);
    match media_type.as_str() {
        "multipart/form-data" => multer::parse_boundary(given)
            .map(|boundary| Content::Form { boundary })
            .map_err(|_| Error::BadRequest("The multipart form names no boundary.".to_owned())),
        _ if !kind.reads_csv() => Ok(Content::Raw),
        // curl sends the last one of these by default.
        ""
        | "application/csv"
        | "application/octet-stream"
        | "application/vnd.ms-excel"
        | "application/x-www-form-urlencoded" => Ok(Content::Raw),
        text if text.starts_with("text/") => Ok(Content::Raw),
        _ => Err(Error::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "upload takes multipart/form-data, or the file itself as text/csv or \
                       application/octet-stream",
        }),
    }
}
