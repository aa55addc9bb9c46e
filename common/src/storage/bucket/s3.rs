//! The requests of S3 that `object_store` lacks: completing a multipart upload with part numbers and
//! a condition, copying a part, and listing multipart uploads.

mod answers;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpRequest};
use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use tokio::time::{Instant, sleep};

pub(super) use self::answers::MultipartUpload;
use self::answers::{CopiedPart, ErrorAnswer, UploadList};
use super::multipart::Part;

/// The backoff between attempts, and how long a request is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
pub(super) const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Not encoded in URLs, as the signature requires.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Sends requests to one bucket.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) http: HttpClient,
    pub(super) credentials: AwsCredentialProvider,
    pub(super) region: String,
    pub(super) bucket: String,
    /// The URL of the bucket, without a slash at its end.
    pub(super) url: String,
    /// Whether requests are signed.
    pub(super) is_signed: bool,
}

#[derive(Debug)]
struct Request<'a> {
    method: Method,
    path: Option<&'a Path>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

/// Why an attempt failed.
enum Failure {
    /// It may succeed if it is repeated.
    Transient(object_store::Error),
    Permanent(object_store::Error),
}

impl S3 {
    /// Completes a multipart upload; with `create_only` only if no object of this name exists. An
    /// error may hide a success: an earlier attempt of which the answer was lost.
    pub(super) async fn complete(
        &self,
        path: &Path,
        upload: &str,
        parts: &[Part],
        create_only: bool,
    ) -> object_store::Result<()> {
        let condition = create_only.then(|| (IF_NONE_MATCH, "*".to_owned()));
        let request = Request {
            method: Method::POST,
            path: Some(path),
            query: vec![("uploadId", upload.to_owned())],
            headers: condition.into_iter().collect(),
            body: answers::complete_request(parts).into(),
        };
        self.send(&request).await.map(drop)
    }

    /// Copies the bytes `from..to` of an object to a part; returns its ETag.
    pub(super) async fn copy_part(
        &self,
        source: &Path,
        range: std::ops::Range<u64>,
        path: &Path,
        upload: &str,
        number: u32,
    ) -> object_store::Result<String> {
        let source = format!("{}/{}", self.bucket, encoded(source));
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let request = Request {
            method: Method::PUT,
            path: Some(path),
            query: vec![("partNumber", number.to_string()), ("uploadId", upload.to_owned())],
            headers: vec![
                (HeaderName::from_static("x-amz-copy-source"), source),
                (HeaderName::from_static("x-amz-copy-source-range"), range),
                // The HTTP client leaves it out for an empty body, and some servers insist on it.
                (CONTENT_LENGTH, "0".to_owned()),
            ],
            body: Bytes::new(),
        };
        let copied: CopiedPart = answers::read(&self.send(&request).await?)?;
        Ok(copied.e_tag)
    }

    /// A page of the multipart uploads of objects whose names start with `prefix`, after the
    /// upload `after`.
    pub(super) async fn list_uploads(
        &self,
        prefix: &str,
        after: Option<&MultipartUpload>,
    ) -> object_store::Result<(Vec<MultipartUpload>, bool)> {
        let mut query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
        if let Some(after) = after {
            query.push(("key-marker", after.key.clone()));
            query.push(("upload-id-marker", after.upload_id.clone()));
        }
        let (method, body) = (Method::GET, Bytes::new());
        let request = Request { method, path: None, query, headers: Vec::new(), body };
        let list: UploadList = answers::read(&self.send(&request).await?)?;
        Ok((list.upload, list.is_truncated))
    }

    async fn send(&self, request: &Request<'_>) -> object_store::Result<Bytes> {
        let deadline = Instant::now() + RETRY_TIMEOUT;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_send(request).await {
                Ok(body) => return Ok(body),
                Err(Failure::Permanent(error)) => return Err(error),
                Err(Failure::Transient(error)) if Instant::now() + pause >= deadline => {
                    return Err(error);
                }
                Err(Failure::Transient(error)) => {
                    tracing::debug!(%error, "a request to the bucket failed, will retry");
                    // Not all clients at the same moment.
                    sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn try_send(&self, request: &Request<'_>) -> Result<Bytes, Failure> {
        let signed = self.signed(request).await.map_err(Failure::Permanent)?;
        let response = self.http.execute(signed).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(broken)?;
        let error = ErrorAnswer::find(&body);
        if status.is_success() && error.is_none() {
            return Ok(body);
        }
        Err(request.failure(status, error.unwrap_or_default()))
    }

    /// Each attempt is signed again, since signatures and credentials expire.
    async fn signed(&self, request: &Request<'_>) -> object_store::Result<HttpRequest> {
        let mut http = HttpRequest::new(request.body.clone().into());
        http.method_mut().clone_from(&request.method);
        *http.uri_mut() = self.url_of(request).parse().map_err(generic)?;
        for (name, value) in &request.headers {
            http.headers_mut().insert(name, HeaderValue::from_str(value).map_err(generic)?);
        }
        if self.is_signed {
            let credential = self.credentials.get_credential().await?;
            AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut http, None)?;
        }
        Ok(http)
    }

    fn url_of(&self, request: &Request<'_>) -> String {
        let encoded_pair = |(name, value): &(&str, String)| {
            format!("{name}={}", utf8_percent_encode(value, UNRESERVED))
        };
        let query: Vec<_> = request.query.iter().map(encoded_pair).collect();
        let path = request.path.map(encoded).unwrap_or_default();
        format!("{}/{path}?{}", self.url, query.join("&"))
    }
}

fn encoded(path: &Path) -> String {
    utf8_percent_encode(path.as_ref(), PATH).to_string()
}

impl Request<'_> {
    fn failure(&self, status: StatusCode, error: ErrorAnswer) -> Failure {
        let path = self.path.map(ToString::to_string).unwrap_or_default();
        let source = format!("{} {path}: status {status}: {error}", self.method).into();
        let is_transient = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            || matches!(error.code.as_str(), "InternalError" | "SlowDown" | "RequestTimeout")
            // Of two completions with a condition at the same moment.
            || error.code == "ConditionalRequestConflict";
        if is_transient {
            return Failure::Transient(generic(source));
        }
        Failure::Permanent(match (status, error.code.as_str()) {
            (StatusCode::NOT_FOUND, _) | (_, "NoSuchUpload" | "NoSuchKey") => {
                object_store::Error::NotFound { path, source }
            }
            (StatusCode::PRECONDITION_FAILED, _) | (_, "PreconditionFailed") => {
                object_store::Error::Precondition { path, source }
            }
            (StatusCode::FORBIDDEN, _) => object_store::Error::PermissionDenied { path, source },
            _ => generic(source),
        })
    }
}

fn broken(error: HttpError) -> Failure {
    Failure::Transient(generic(error))
}

fn generic(error: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: error.into() }
}
