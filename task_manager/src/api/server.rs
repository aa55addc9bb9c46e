//! Accepts connections, limits their number, and closes them.
//!
//! # Invariants
//! - At most `max_connections` are served. At the limit, connections that have been idle for a
//!   second are closed to make room, and a new connection waits a moment for that.
//! - A small reserve beyond the limit serves health checks and workers, and answers 503 to
//!   everything else. Beyond the reserve, connections wait to be accepted.
//! - A shutdown accepts no more connections, and closes each one when its request is answered.

pub mod connection;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{debug, warn};

use self::connection::{Activity, Answer, Observed, Timeouts};
use crate::api::request::file::linger;
use crate::error::Error;

/// The size of the reserve beyond the limit.
const RESERVE: usize = 64;
/// How long a connection beyond the limit waits for room.
const ROOM_WAIT: Duration = Duration::from_millis(250);
/// How long a connection in the reserve may take for the head of its request.
const RESERVE_HEADER: Duration = Duration::from_secs(3);
/// How long a connection must be idle to be closed for room, and the interval between such closes.
const IDLE: Duration = Duration::from_secs(1);
/// How long accepting pauses when the process has run out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// When a connection times out.
    pub timeouts: Timeouts,
    /// How many connections are served at a time.
    pub max_connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let timeouts = Timeouts {
            header: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            send: Duration::from_secs(60),
        };
        Self { timeouts, max_connections: 1_000 }
    }
}

/// Marks a request of a connection beyond the limit.
#[derive(Debug, Clone, Copy)]
struct BeyondLimit;

/// Serves `router` until `shutdown`, and then until every request is answered. Dropping the future
/// closes all connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Room::new(limits.max_connections));
    loop {
        let (permit, stream, address) = tokio::select! {
            accepted = room.accept(&listener) => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let (room, router, shutdown) = (Arc::clone(&room), router.clone(), shutdown.clone());
        connections.spawn(async move {
            let _permit = permit;
            connection(stream, address, router, limits.timeouts, &room, &shutdown).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Counts the connections.
struct Room {
    /// Permits within the limit.
    regular: Semaphore,
    /// Permits including the reserve.
    all: Arc<Semaphore>,
    /// Notifies idle connections to close.
    needed: Notify,
    last_asked: Mutex<Option<Instant>>,
}

impl Room {
    fn new(max_connections: usize) -> Self {
        Self {
            regular: Semaphore::new(max_connections),
            all: Arc::new(Semaphore::new(max_connections + RESERVE)),
            needed: Notify::new(),
            last_asked: Mutex::default(),
        }
    }

    /// The next connection.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
        // The semaphore is never closed, so this always succeeds.
        let permit = Arc::clone(&self.all).acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((stream, address)) => return (permit, stream, address),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    self.ask_idle_ones();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A permit within the limit, for which it waits a moment if necessary.
    async fn enter(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        if let Ok(permit) = self.regular.try_acquire() {
            return Some(permit);
        }
        self.ask_idle_ones();
        timeout(ROOM_WAIT, self.regular.acquire()).await.ok()?.ok()
    }

    fn ask_idle_ones(&self) {
        let mut last = self.last_asked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= IDLE) {
            *last = Some(Instant::now());
            self.needed.notify_waiters();
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    timeouts: Timeouts,
    room: &Room,
    shutdown: &CancellationToken,
) {
    // Sends an answer immediately, without waiting for the acknowledgement of the previous one.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot disable Nagle's algorithm for a connection");
    }
    let permit = room.enter().await;
    let is_beyond = permit.is_none();
    let activity = Activity::new(match is_beyond {
        false => timeouts,
        true => Timeouts { header: timeouts.header.min(RESERVE_HEADER), ..timeouts },
    });
    let service = {
        let activity = activity.clone();
        service_fn(move |request: hyper::Request<Incoming>| {
            let answering = activity.begin_answer();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            if is_beyond {
                request.extensions_mut().insert(BeyondLimit);
            }
            let answer = router.clone().call(request);
            async move {
                let response = answer.await?;
                Ok::<_, Infallible>(response.map(|body| Answer::new(body, answering)))
            }
        })
    };
    let stream = TokioIo::new(Observed::new(stream, activity.clone()));
    let mut serving = pin!(
        http1::Builder::new()
            // `Activity` measures this: it distinguishes a partial head from a kept-alive
            // connection.
            .header_read_timeout(None)
            .keep_alive(!is_beyond)
            .serve_connection(stream, service)
    );
    let mut check = pin!(sleep_until(Instant::now()));
    let mut ending = pin!(shutdown.cancelled());
    let mut is_ending = false;
    let mut room_needed = pin!(room.needed.notified());
    loop {
        tokio::select! {
            // Handles received data before it checks deadlines.
            biased;
            served = serving.as_mut() => {
                if let Err(error) = served {
                    debug!(%error, %address, "a connection broke");
                }
                return;
            }
            () = check.as_mut() => match activity.next_check() {
                Some(next) => check.as_mut().reset(next),
                None => {
                    debug!(%address, "a connection timed out");
                    return;
                }
            },
            () = ending.as_mut(), if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
            () = room_needed.as_mut() => {
                room_needed.set(room.needed.notified());
                if activity.is_idle_for(IDLE) {
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Refuses requests of connections beyond the limit, except health checks and workers: too many
/// clients must neither make the server look dead nor cost a lease.
pub async fn refuse_beyond_limit(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_essential = matches!(path, "/healthz" | "/readyz") || path.starts_with("/internal/");
    if is_essential || request.extensions().get::<BeyondLimit>().is_none() {
        return next.run(request).await;
    }
    // So that a client that is still sending a body gets the answer, and no broken connection.
    linger(request.into_body().into_data_stream());
    Error::Overloaded.into_response()
}
