//! The bytes of a file in a request: the raw body, or the file field of a multipart form.
//!
//! # Invariants
//! - A body ends with an error if no byte arrives for the idle timeout. Only time spent waiting for
//!   the client counts, not time in which the body is not polled because the storage is slow.
//! - A client that is refused while it is sending sees the answer: the rest of its body is
//!   discarded for a limited time, instead of resetting the connection.
//!
//! By hand: `TimeoutBody` of tower-http checks the clock before the body, so a file whose bytes
//! arrived while the storage was slow would be refused.

mod disposition;
pub mod form;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use self::form::FormFile;
use crate::error::Error;
use crate::file_source::FileSource;

/// How long the rest of a refused body is discarded, and how long the next byte of it may take.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_IDLE: Duration = Duration::from_secs(5);

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No byte arrived for this long.
    #[error("no byte arrived for {0:?}")]
    Idle(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The session of the request ended.
    #[error("the session ended")]
    SessionEnded,
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Idle(timeout) => Self::UploadIdle { timeout },
            BodyError::Broken => {
                Self::UploadCut("The connection broke while the body arrived.".to_owned())
            }
            BodyError::SessionEnded => Self::InvalidToken(
                "The session ended while the body arrived. Log in again with POST /v1/sessions.",
            ),
        }
    }
}

/// How long a body may deliver no byte.
#[derive(Debug, Clone, Copy)]
pub struct IdleTimeout(pub Duration);

/// The bytes of a request; after an error there are no more.
pub type ByteStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// The bytes of `body`; an error if none arrives for `idle`.
pub fn incoming<E: Send + 'static>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    idle: Duration,
) -> ByteStream {
    let next = move |body: Option<BoxStream<'static, Result<Bytes, E>>>| async move {
        let mut body = body?;
        match timeout(idle, body.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(_))) => Some((Err(BodyError::Broken), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BodyError::Idle(idle)), None)),
        }
    };
    stream::unfold(Some(body.boxed()), next).fuse().boxed()
}

/// The bytes of `body`; an error once `end` resolves, so that no request outlives its session.
pub fn until(body: ByteStream, end: impl Future<Output = ()> + Send + 'static) -> ByteStream {
    let next = |open: Option<(ByteStream, BoxFuture<'static, ()>)>| async move {
        let (mut body, mut end) = open?;
        tokio::select! {
            biased;
            () = &mut end => {
                linger(body);
                Some((Err(BodyError::SessionEnded), None))
            }
            bytes = body.next() => bytes.map(|bytes| (bytes, Some((body, end)))),
        }
    };
    stream::unfold(Some((body, end.boxed())), next).fuse().boxed()
}

/// An incoming file.
pub enum FileBody {
    /// The body is the file.
    Raw(ByteStream),
    /// The file is a field of a form.
    Form(FormFile),
}

impl FileSource for FileBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Form(file) => file.next().await,
            Self::Raw(stream) => loop {
                let bytes = stream.next().await.transpose()?;
                if bytes.as_ref().is_none_or(|bytes| !bytes.is_empty()) {
                    return Ok(bytes);
                }
            },
        }
    }
}

impl FileBody {
    /// Discards the rest of the body in the background, so that the client sees the answer.
    pub fn linger(self) {
        // The parser of a form does this itself when its reader is dropped.
        if let Self::Raw(stream) = self {
            linger(stream);
        }
    }
}

/// Discards the rest of a refused body in the background, so that the client sees the answer.
pub fn linger<E: Send + 'static>(body: impl Stream<Item = Result<Bytes, E>> + Send + 'static) {
    tokio::spawn(discard(body.boxed()));
}

/// Discards the bytes of `stream` until it ends or pauses, or the time limit is reached.
async fn discard<E>(mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin) {
    let end = Instant::now() + LINGER;
    while let Ok(Some(Ok(_))) =
        timeout_at(end.min(Instant::now() + LINGER_IDLE), stream.next()).await
    {}
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// A body that the test sends piece by piece.
    fn body() -> (mpsc::UnboundedSender<io::Result<Bytes>>, ByteStream) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let stream = stream::poll_fn(move |cx| receiver.poll_recv(cx));
        (sender, incoming(stream, IDLE))
    }

    #[tokio::test]
    async fn a_body_ends_with_its_session() {
        let (sender, body) = body();
        let (end_session, ended) = oneshot::channel::<()>();
        let mut body = until(body, ended.map(drop));
        sender.send(Ok(Bytes::from_static(b"x"))).unwrap();
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"x"))));
        drop(end_session);
        assert_eq!(body.next().await, Some(Err(BodyError::SessionEnded)));
        sender.send(Ok(Bytes::from_static(b"y"))).unwrap();
        assert_eq!(body.next().await, None, "after an error there are no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_bytes_ends_after_the_timeout() {
        let (sender, mut body) = body();
        for _ in 0..5 {
            let sent = async {
                tokio::time::sleep(IDLE - Duration::from_millis(1)).await;
                sender.send(Ok(Bytes::from_static(b"x"))).unwrap();
            };
            let (next, ()) = tokio::join!(body.next(), sent);
            assert_eq!(next, Some(Ok(Bytes::from_static(b"x"))), "a slow client is not idle");
        }
        let since = Instant::now();
        assert_eq!(body.next().await, Some(Err(BodyError::Idle(IDLE))));
        let waited = since.elapsed();
        assert!(waited >= IDLE && waited < IDLE + Duration::from_secs(1), "{waited:?}");
        assert_eq!(body.next().await, None);
        assert_eq!(body.next().await, None, "an ended body stays ended");
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_polling_does_not_count_as_idle() {
        let (sender, mut body) = body();
        // Polled once, like by a parser that then waits for its reader.
        assert_eq!(body.next().now_or_never(), None);
        sender.send(Ok(Bytes::from_static(b"x"))).unwrap();
        tokio::time::sleep(10 * IDLE).await;
        assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"x"))));
        tokio::time::sleep(10 * IDLE).await;
        drop(sender);
        assert_eq!(body.next().await, None);
    }

    #[tokio::test]
    async fn a_broken_connection_is_an_error() {
        let (sender, mut body) = body();
        sender.send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
        assert_eq!(body.next().await, Some(Err(BodyError::Broken)));
        assert_eq!(body.next().await, None);
    }
}
