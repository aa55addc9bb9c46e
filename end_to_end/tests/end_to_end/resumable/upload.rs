//! A client of tus 1.0.0 that behaves like tus-js-client: when a connection breaks, and after 5xx,
//! 409 and 423, it asks where to continue. Any other refusal fails the test, since such a client
//! would start again from the first byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::task::TaskId;
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use tokio::time::timeout;
use uuid::Uuid;

use crate::end_to_end::api::{Api, DEADLINE};

/// The bytes of a request are handed to the connection in pieces of this size.
const PIECE: usize = 64 << 10;

/// How long an answer may take. Now and then, under load, the HTTP client never learns that a
/// connection has ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// How many bytes a client has handed to its connections, for those who interrupt it.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicUsize>);

impl Sent {
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn body(&self, bytes: &Bytes) -> Body {
        let pieces: Vec<_> = (0..bytes.len())
            .step_by(PIECE)
            .map(|start| bytes.slice(start..(start + PIECE).min(bytes.len())))
            .collect();
        let sent = self.clone();
        Body::wrap_stream(stream::iter(pieces.into_iter().map(move |piece| {
            sent.0.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        })))
    }
}

/// An upload of a file of which the server gathers statistics.
pub struct Upload {
    api: Api,
    path: String,
    content: Bytes,
    sent: Sent,
    /// The highest offset that a server has returned.
    acknowledged: usize,
    /// How often it asked where to continue.
    pub resumed: usize,
    /// The longest time that a server took to answer that.
    pub slowest_answer: Duration,
}

impl Upload {
    /// Creates an upload of `content`. A repeated request creates it once.
    pub async fn create(api: &Api, content: Bytes, sent: &Sent) -> Self {
        let key = Uuid::new_v4().to_string();
        let (response, _) = repeat(|| {
            let request = tus(api, Method::POST, "/v1/uploads").header("Idempotency-Key", &key);
            request.header("Upload-Length", content.len())
        })
        .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let path = header(&response, "location").to_owned();
        Self {
            api: api.clone(),
            path,
            content,
            sent: sent.clone(),
            acknowledged: 0,
            resumed: 0,
            slowest_answer: Duration::ZERO,
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its id, which is that of its task.
    pub fn id(&self) -> TaskId {
        self.path.rsplit('/').next().unwrap().parse().unwrap()
    }

    /// Sends the file to its end from `offset` on, in requests of `size()` bytes; returns the task.
    pub async fn send(&mut self, mut offset: usize, mut size: impl FnMut() -> usize) -> TaskId {
        let started = Instant::now();
        while offset < self.content.len() {
            assert!(started.elapsed() < DEADLINE, "{offset} of {} bytes", self.content.len());
            let end = offset.saturating_add(size()).min(self.content.len());
            offset = match self.append(offset, end).await {
                Some(offset) => offset,
                None => self.offset().await,
            };
        }
        self.id()
    }

    /// Asks where to continue, until a server answers.
    pub async fn offset(&mut self) -> usize {
        let (response, took) = repeat(|| tus(&self.api, Method::HEAD, &self.path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", self.path);
        self.resumed += 1;
        self.slowest_answer = self.slowest_answer.max(took);
        self.acknowledge(&response)
    }

    /// Sends the bytes from `offset` to `end`; returns the offset behind them if that succeeds.
    async fn append(&mut self, offset: usize, end: usize) -> Option<usize> {
        let bytes = self.content.slice(offset..end);
        let request = tus(&self.api, Method::PATCH, &self.path)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Content-Length", bytes.len())
            .header("Upload-Offset", offset);
        let response = answer(request.body(self.sent.body(&bytes))).await?;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(self.acknowledge(&response), end);
        Some(end)
    }

    fn acknowledge(&mut self, response: &Response) -> usize {
        let offset = header(response, "upload-offset").parse().unwrap();
        assert!(
            offset >= self.acknowledged,
            "{}: {offset} after {} were acknowledged",
            self.path,
            self.acknowledged
        );
        self.acknowledged = offset;
        offset
    }
}

fn tus(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.request(method, path).header("Tus-Resumable", "1.0.0")
}

/// Repeats a request until a server answers; returns the answer, and how long that server took.
async fn repeat(request: impl Fn() -> RequestBuilder) -> (Response, Duration) {
    let started = Instant::now();
    loop {
        let asked = Instant::now();
        if let Some(response) = answer(request()).await {
            return (response, asked.elapsed());
        }
        assert!(started.elapsed() < DEADLINE, "no answer to {:?}", request());
        tokio::time::sleep(PAUSE).await;
    }
}

/// The answer to a request; none if it may be repeated.
async fn answer(request: RequestBuilder) -> Option<Response> {
    let response = timeout(PATIENCE, request.send()).await.ok()?.ok()?;
    let status = response.status();
    let is_transient =
        status.is_server_error() || matches!(status, StatusCode::CONFLICT | StatusCode::LOCKED);
    (!is_transient).then_some(response)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}
