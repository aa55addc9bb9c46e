//! The requests of a resumable upload, by tus 1.0.0. When and how often they are made is decided by
//! [`resumable`](super::resumable).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use common::client::{ApiClient, ClientError, IDEMPOTENCY_KEY};
use common::task::{TaskId, TaskKind};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Body, Method, RequestBuilder, Response};
use serde::Deserialize;

const UPLOADS: &str = "/v1/uploads";
const BYTES: &str = "application/offset+octet-stream";

/// A client of the uploads of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tus<'a> {
    pub(super) client: &'a ApiClient,
}

/// What becomes of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) kind: TaskKind,
    pub(super) file_name: &'a str,
    pub(super) params: &'a [(String, String)],
}

/// What an upload is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role<'a> {
    /// The whole file, of this size in bytes.
    Whole(u64),
    /// A part of the file, of this size in bytes.
    Partial(u64),
    /// The whole file, made of these complete parts in this order.
    Final(&'a [TaskId]),
}

/// An upload, as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// How many bytes it has.
    pub(super) offset: u64,
    /// When it is removed if no more bytes arrive.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// A new upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Created {
    pub(super) id: TaskId,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// What became of an upload that has all its bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Outcome {
    pub(super) task_id: Option<TaskId>,
    /// Whether the task was created.
    pub(super) is_complete: bool,
    /// Whether the file resumed an earlier task.
    #[serde(default)]
    pub(super) resumed: bool,
    #[serde(default)]
    pub(super) resumed_from_row: Option<u64>,
}

impl Tus<'_> {
    /// Creates an upload; a repeat with the same `key` returns the same one. The server checks the
    /// purpose, also that of a part, before any byte is sent.
    pub(super) async fn create(
        &self,
        role: Role<'_>,
        purpose: Purpose<'_>,
        key: &str,
    ) -> Result<Created, ClientError> {
        let mut request = self.request(Method::POST, UPLOADS).header(IDEMPOTENCY_KEY, key);
        request = request.query(purpose.params).header("Upload-Metadata", purpose.metadata());
        request = match role {
            Role::Whole(size) => request.header("Upload-Length", size),
            Role::Partial(size) => {
                request.header("Upload-Length", size).header("Upload-Concat", "partial")
            }
            Role::Final(parts) => {
                let urls: Vec<_> = parts.iter().map(|id| path(*id)).collect();
                request.header("Upload-Concat", format!("final;{}", urls.join(" ")))
            }
        };
        let response = self.client.send(request).await?;
        // The URL itself is not used: behind a proxy it may name another host.
        let location = text(response.headers(), LOCATION.as_str());
        let id =
            location.and_then(|url| url.trim_end_matches('/').rsplit('/').next()?.parse().ok());
        let id = id.ok_or_else(|| self.unexpected("no Location of an upload"))?;
        Ok(Created { id, expires_at: expires_at(response.headers()) })
    }

    /// Asks how many bytes of an upload are stored; ends requests that still write to it.
    ///
    /// # Errors
    /// The reason that the server gives; a response to HEAD has none, so a GET asks for it.
    pub(super) async fn state(&self, id: TaskId) -> Result<Stored, ClientError> {
        let response = self.client.respond(self.request(Method::HEAD, &path(id))).await?;
        let status = response.status();
        if status.is_success() {
            return self.stored(&response);
        }
        self.client.send(self.request(Method::GET, &path(id))).await?;
        Err(self.client.unanswered(format!("status {status}")))
    }

    /// Appends the `length` bytes of `body` at `offset`.
    pub(super) async fn append(
        &self,
        id: TaskId,
        offset: u64,
        length: u64,
        body: Body,
    ) -> Result<Stored, ClientError> {
        let request = self.request(Method::PATCH, &path(id));
        let request = request.header(CONTENT_TYPE, BYTES).header(CONTENT_LENGTH, length);
        let request = request.header("Upload-Offset", offset).body(body);
        self.stored(&self.client.send(request).await?)
    }

    /// What became of an upload.
    pub(super) async fn outcome(&self, id: TaskId) -> Result<Outcome, ClientError> {
        self.client.json(self.request(Method::GET, &path(id))).await
    }

    /// Removes an upload with its bytes, if the server answers; it expires anyway.
    pub(super) async fn terminate(&self, id: TaskId) {
        // A server that has refused bytes closes the connection, perhaps while it is used again.
        for _ in 0..2 {
            if self.client.respond(self.request(Method::DELETE, &path(id))).await.is_ok() {
                return;
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).header("Tus-Resumable", "1.0.0")
    }

    fn stored(&self, response: &Response) -> Result<Stored, ClientError> {
        let offset = text(response.headers(), "Upload-Offset").and_then(|text| text.parse().ok());
        let offset = offset.ok_or_else(|| self.unexpected("no Upload-Offset"))?;
        Ok(Stored { offset, expires_at: expires_at(response.headers()) })
    }

    fn unexpected(&self, reason: &str) -> ClientError {
        let server = self.client.server().to_owned();
        ClientError::Unexpected { server, reason: reason.to_owned() }
    }
}

impl Purpose<'_> {
    /// The parameters are in the query: there they may repeat.
    fn metadata(&self) -> String {
        let name = STANDARD.encode(self.file_name);
        format!("filename {name},kind {}", STANDARD.encode(self.kind.as_str()))
    }
}

/// Whether an attempt that failed so may succeed after asking for the offset.
pub(super) fn is_transient(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => {
            // Of them: another offset, another request, and a checksum that does not match.
            error.is_transient() || matches!(problem.status, 408 | 409 | 423 | 460)
        }
        _ => error.is_transient(),
    }
}

/// Whether the upload no longer exists.
pub(super) fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if matches!(problem.status, 404 | 410))
}

fn path(id: TaskId) -> String {
    format!("{UPLOADS}/{id}")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn expires_at(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc2822(text(headers, "Upload-Expires")?).ok()?;
    Some(time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_upload_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(expires_at(&headers), None);
        headers.insert("upload-expires", "Wed, 25 Jun 2014 16:00:00 GMT".parse().unwrap());
        assert_eq!(expires_at(&headers).unwrap().to_rfc3339(), "2014-06-25T16:00:00+00:00");
    }

    #[test]
    fn names_of_any_characters_are_metadata() {
        let params = [("group_by".to_owned(), "a,b".to_owned())];
        let kind = TaskKind::CsvPreview;
        let metadata = Purpose { kind, file_name: "größe, 1", params: &params }.metadata();
        assert_eq!(metadata, "filename Z3LDtsOfZSwgMQ==,kind Y3N2X3ByZXZpZXc=");
    }
}
