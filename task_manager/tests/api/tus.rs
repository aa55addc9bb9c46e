//! A client of resumable uploads.

use std::io::Write;
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::task::{TaskId, TaskState};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::app::{DEADLINE, TestApp, eventually};

/// The media type of appended bytes.
pub const BYTES: &str = "application/offset+octet-stream";

/// The value of `Upload-Metadata`.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pair = |(key, value): &(&str, &str)| format!("{key} {}", STANDARD.encode(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// The text of a header; empty if it is missing.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

impl TestApp {
    /// A request by tus.
    pub fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("Tus-Resumable", "1.0.0")
    }

    /// Creates an upload of `length` bytes; returns its path.
    pub async fn create_upload(&self, length: usize, pairs: &[(&str, &str)]) -> String {
        let request = self.tus(Method::POST, "/v1/uploads").header("Upload-Length", length);
        let response = request.header("Upload-Metadata", metadata(pairs)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{:?}", response.text().await);
        header(&response, "location").to_owned()
    }

    /// A request that appends `bytes`.
    pub fn patch(
        &self,
        path: &str,
        offset: usize,
        bytes: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        let request = self.tus(Method::PATCH, path).header("Content-Type", BYTES);
        request.header("Upload-Offset", offset).body(bytes)
    }

    /// Appends `bytes`; returns the offset behind them.
    pub async fn append(&self, path: &str, offset: usize, bytes: &[u8]) -> usize {
        let response = self.patch(path, offset, bytes.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{:?}", response.text().await);
        header(&response, "upload-offset").parse().unwrap()
    }

    pub async fn head(&self, path: &str) -> Response {
        self.tus(Method::HEAD, path).send().await.unwrap()
    }

    /// How many bytes the server has.
    pub async fn offset(&self, path: &str) -> usize {
        let response = self.head(path).await;
        assert_eq!(response.status(), StatusCode::OK);
        header(&response, "upload-offset").parse().unwrap()
    }

    /// Uploads a partial upload; returns its path.
    pub async fn partial(&self, bytes: &[u8]) -> String {
        let request = self.tus(Method::POST, "/v1/uploads").header("Upload-Concat", "partial");
        let response = request.header("Upload-Length", bytes.len()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "task-id"), "", "a part has no task");
        let path = header(&response, "location").to_owned();
        assert_eq!(self.append(&path, 0, bytes).await, bytes.len());
        path
    }

    /// Asks for the concatenation of partial uploads.
    pub async fn concatenate(&self, parts: &[&str], pairs: &[(&str, &str)]) -> Response {
        let request = self.tus(Method::POST, "/v1/uploads");
        let request = request.header("Upload-Concat", format!("final;{}", parts.join(" ")));
        request.header("Upload-Metadata", metadata(pairs)).send().await.unwrap()
    }

    /// Sends the head of a request that appends `length` bytes, and `sent` of them.
    pub fn begin_patch(&self, path: &str, offset: usize, length: usize, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let token = self.token.as_ref();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: {BYTES}\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n{}\r\n",
            token.unwrap_or_default()
        )
        .unwrap();
        stream.write_all(sent).unwrap();
        stream
    }

    /// Asserts that the file arrived whole and is processed as a task with the id.
    pub async fn assert_queued_with(&mut self, id: TaskId, content: &[u8]) {
        use sha2::{Digest, Sha256};
        let task = self.wait_for_state(id, TaskState::Queued).await;
        assert_eq!(task.size, Some(content.len() as u64));
        let attempt = self.next_attempt().await;
        assert_eq!(attempt.task_id, id);
        assert_eq!(attempt.input.unwrap().sha256, hex::encode(Sha256::digest(content)));
        let path = self.folder.path().join(format!("local_storage/raw_data/{id}"));
        assert!(std::fs::read(path).unwrap() == content, "the bytes are as they were sent");
        // The parts of a joined file are removed after the task is queued.
        let only_file = [format!("raw_data/{id}")];
        eventually("no other file is left", || async { (self.files() == only_file).then_some(()) })
            .await;
    }
}

/// The id in the path of an upload.
pub fn id_of(path: &str) -> TaskId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

/// Bytes without a pattern.
pub fn random_bytes(length: usize) -> Vec<u8> {
    use rand::Rng;
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
