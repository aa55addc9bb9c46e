//! The activity of a connection, and its timeouts.
//!
//! # Invariants
//! - A request's head must arrive within the header timeout. A connection without a request is
//!   closed after the keep-alive timeout.
//! - If the client does not read an answer, the connection is closed after the send timeout. A
//!   transfer that makes any progress may take any time.
//!
//! # Not here
//! Stalled request bodies: the readers of bodies have timeouts of their own (`api::request`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::metrics::metrics;

/// The times after which a connection is closed.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a request, or from the start of the connection, to the end of the
    /// request's head.
    pub header: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub keep_alive: Duration,
    /// How long the client may stall reading an answer.
    pub send: Duration,
}

impl Timeouts {
    /// The earliest deadline of an activity that starts now.
    fn shortest(&self) -> Duration {
        self.header.min(self.keep_alive).min(self.send)
    }
}

/// The activity of a connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Activity {
    timeouts: Timeouts,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    reading: Reading,
    /// Since when the client has not read pending data.
    blocked_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    /// No byte of a request has arrived.
    Idle { since: Instant, until: Instant },
    /// A part of a request's head has arrived.
    Head { until: Instant },
    /// A request is being answered.
    Answering,
}

impl Activity {
    /// The activity of a new connection.
    pub fn new(timeouts: Timeouts) -> Self {
        let since = Instant::now();
        let reading = Reading::Idle { since, until: since + timeouts.header };
        let state = Arc::new(Mutex::new(State { reading, blocked_since: None }));
        Self { timeouts, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the start of a request; the guard lasts until the end of its answer.
    pub fn begin_answer(&self) -> Answering {
        self.state().reading = Reading::Answering;
        Answering(self.clone())
    }

    fn received(&self) {
        let mut state = self.state();
        if let Reading::Idle { .. } = state.reading {
            state.reading = Reading::Head { until: Instant::now() + self.timeouts.header };
        }
    }

    fn sent(&self, is_blocked: bool) {
        let mut state = self.state();
        match is_blocked {
            true => drop(state.blocked_since.get_or_insert_with(Instant::now)),
            false => state.blocked_since = None,
        }
    }

    /// When to check again for a timeout; none if the connection has timed out.
    pub fn next_check(&self) -> Option<Instant> {
        let now = Instant::now();
        let state = self.state();
        let reading = match state.reading {
            Reading::Idle { until, .. } | Reading::Head { until } => Some(until),
            Reading::Answering => None,
        };
        let sending = state.blocked_since.map(|since| since + self.timeouts.send);
        let soonest = reading.into_iter().chain(sending).min();
        // The deadlines of activities that start in the meantime are later.
        let next = soonest.unwrap_or(now + self.timeouts.shortest());
        (next > now).then(|| next.min(now + self.timeouts.shortest()))
    }

    /// Whether no request has started for `time`.
    pub fn is_idle_for(&self, time: Duration) -> bool {
        matches!(self.state().reading, Reading::Idle { since, .. } if since.elapsed() >= time)
    }
}

/// A request is being answered until this is dropped.
#[derive(Debug)]
pub struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        let since = Instant::now();
        let until = since + self.0.timeouts.keep_alive;
        self.0.state().reading = Reading::Idle { since, until };
    }
}

/// The body of an answer, which ends when it is dropped.
#[derive(Debug)]
pub struct Answer<B> {
    body: B,
    _answering: Answering,
}

impl<B> Answer<B> {
    /// Wraps a body.
    pub fn new(body: B, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream of bytes that records its activity.
#[derive(Debug)]
pub struct Observed<S> {
    stream: S,
    activity: Activity,
}

impl<S> Observed<S> {
    /// Records the activity of `stream` in `activity`.
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            metrics().bytes_sent(*count);
        }
        self.activity.sent(written.is_pending());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            metrics().bytes_received(count);
            self.activity.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header: Duration::from_secs(15),
        keep_alive: Duration::from_secs(75),
        send: Duration::from_secs(60),
    };

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// Seconds until the connection times out, if it does within ten minutes.
    async fn ends_after(activity: &Activity) -> Option<u64> {
        let begin = Instant::now();
        while let Some(next) = activity.next_check() {
            if next > begin + Duration::from_secs(600) {
                return None;
            }
            tokio::time::sleep_until(next).await;
        }
        Some(begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed() {
        let activity = Activity::new(TIMEOUTS);
        assert_eq!(ends_after(&activity).await, Some(15), "no byte arrived");
        let activity = Activity::new(TIMEOUTS);
        pass(10).await;
        activity.received();
        pass(10).await;
        activity.received();
        assert_eq!(
            ends_after(&activity).await,
            Some(5),
            "bytes of a head do not extend the deadline"
        );
        let activity = Activity::new(TIMEOUTS);
        drop(activity.begin_answer());
        assert_eq!(ends_after(&activity).await, Some(75), "kept alive");
        let activity = Activity::new(TIMEOUTS);
        drop(activity.begin_answer());
        pass(70).await;
        activity.received();
        assert_eq!(ends_after(&activity).await, Some(15), "half of the next head");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_cut_off_while_it_reads() {
        let activity = Activity::new(TIMEOUTS);
        let answering = activity.begin_answer();
        activity.received();
        assert_eq!(ends_after(&activity).await, None, "a stream of events");
        activity.sent(true);
        pass(50).await;
        activity.sent(false);
        activity.sent(true);
        pass(50).await;
        activity.sent(true);
        assert_eq!(ends_after(&activity).await, Some(10), "read nothing for a minute");
        drop(answering);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_for_a_request_is_idle() {
        let second = Duration::from_secs(1);
        let activity = Activity::new(TIMEOUTS);
        assert!(!activity.is_idle_for(second));
        pass(2).await;
        assert!(activity.is_idle_for(second));
        activity.received();
        assert!(!activity.is_idle_for(second));
        let answering = activity.begin_answer();
        pass(2).await;
        assert!(!activity.is_idle_for(second));
        drop(answering);
        pass(2).await;
        assert!(activity.is_idle_for(second));
    }
}
