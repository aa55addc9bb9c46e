//! A TCP relay that can change its targets, cut connections, stall and slow down.
//!
//! Not here: refusing connections. That needs a port without a listener, which the kernel could
//! assign to another program; tests that stop a service connect to it directly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The outcome of a request whose answer does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reached the server; the answer was lost.
    Done,
    /// It did not reach the server.
    Lost,
}

/// Leaves a client in doubt: see [`Relay::leave_in_doubt`].
#[derive(Debug, Clone)]
struct Doubt {
    behind: Vec<u8>,
    request: Vec<u8>,
    fate: Fate,
}

/// How the relay treats connections and data.
#[derive(Debug, Clone)]
struct Plan {
    /// Connections go to each in turn; without targets they are closed.
    targets: Vec<SocketAddr>,
    /// Connections of another generation are closed.
    generation: u64,
    is_cut: bool,
    is_stalled: bool,
    delay: Duration,
    /// A connection is closed after so many bytes of either side.
    limit: Option<usize>,
    doubt: Option<Doubt>,
}

/// Forwards every connection until it is dropped.
pub struct Relay {
    /// Its address.
    pub address: SocketAddr,
    plan: watch::Sender<Plan>,
    accepting: AbortHandle,
}

impl Relay {
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, is_stalled) = (false, false);
        let delay = Duration::ZERO;
        let (limit, doubt) = (None, None);
        let plan = Plan { targets, generation: 0, is_cut, is_stalled, delay, limit, doubt };
        let plan = watch::Sender::new(plan);
        let sender = plan.clone();
        let accepting = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, number, sender.clone()));
                number += 1;
            }
        });
        Self { address, plan, accepting: accepting.abort_handle() }
    }

    /// Changes the targets of new connections.
    pub fn lead_to(&self, targets: Vec<SocketAddr>) {
        self.plan.send_modify(|plan| plan.targets = targets);
    }

    /// Closes all connections, and every new one immediately.
    pub fn cut(&self) {
        self.plan.send_modify(|plan| {
            plan.generation += 1;
            plan.is_cut = true;
        });
    }

    /// Closes all connections; new ones are forwarded.
    pub fn cut_once(&self) {
        self.plan.send_modify(|plan| plan.generation += 1);
    }

    /// Keeps connections open, but nothing passes.
    pub fn stall(&self) {
        self.plan.send_modify(|plan| plan.is_stalled = true);
    }

    /// Delays all data by this time.
    pub fn delay(&self, delay: Duration) {
        self.plan.send_modify(|plan| plan.delay = delay);
    }

    /// Closes each new connection after so many bytes of either side.
    pub fn cut_each_after(&self, bytes: usize) {
        self.plan.send_modify(|plan| plan.limit = Some(bytes));
    }

    /// Closes the connection of the first client that sends `request` after `behind`, which leaves
    /// the outcome unknown to it.
    pub fn leave_in_doubt(&self, behind: &str, request: &[u8], fate: Fate) {
        let doubt = Doubt { behind: behind.into(), request: request.into(), fate };
        self.plan.send_modify(|plan| plan.doubt = Some(doubt));
    }

    /// Whether a client was left in doubt since then.
    pub fn left_in_doubt(&self) -> bool {
        self.plan.borrow().doubt.is_none()
    }

    /// Forwards again.
    pub fn heal(&self) {
        self.plan.send_modify(|plan| {
            plan.is_cut = false;
            plan.is_stalled = false;
            plan.delay = Duration::ZERO;
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn forward(client: TcpStream, number: usize, plans: watch::Sender<Plan>) {
    let plan = plans.borrow().clone();
    if plan.is_cut || plan.targets.is_empty() {
        return;
    }
    let target = plan.targets[number % plan.targets.len()];
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Forwards small messages immediately, as their senders intend.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut closing = plans.subscribe();
    let closed = closing.wait_for(|now| now.generation != plan.generation);
    let is_in_doubt = AtomicBool::new(false);
    let mut was_behind = false;
    let mut left = plan.limit.unwrap_or(usize::MAX);
    let requests = |bytes: &[u8]| {
        let fate = doubted(&plans, &mut was_behind, bytes);
        is_in_doubt.fetch_or(fate.is_some(), Ordering::Relaxed);
        let passing = if fate == Some(Fate::Lost) { 0 } else { left.min(bytes.len()) };
        left -= passing;
        passing
    };
    let mut left = plan.limit.unwrap_or(usize::MAX);
    let answers = |bytes: &[u8]| {
        let is_in_doubt = is_in_doubt.load(Ordering::Relaxed);
        let passing = if is_in_doubt { 0 } else { left.min(bytes.len()) };
        left -= passing;
        passing
    };
    tokio::select! {
        () = pump(client_read, server_write, plans.subscribe(), requests) => {}
        () = pump(server_read, client_write, plans.subscribe(), answers) => {}
        _ = closed => {}
    }
}

/// The outcome for these bytes of a client, if it should be left in doubt about them.
fn doubted(plans: &watch::Sender<Plan>, was_behind: &mut bool, bytes: &[u8]) -> Option<Fate> {
    let contains = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let doubt = plans.borrow().doubt.clone()?;
    *was_behind |= contains(&doubt.behind);
    if !*was_behind || !contains(&doubt.request) {
        return None;
    }
    plans.send_modify(|plan| plan.doubt = None);
    Some(doubt.fate)
}

/// Copies bytes in one direction until either side ends, or not all bytes may pass; `passing` says
/// how many may.
async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut plans: watch::Receiver<Plan>,
    mut passing: impl FnMut(&[u8]) -> usize,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let Ok(delay) = plans.wait_for(|plan| !plan.is_stalled).await.map(|plan| plan.delay) else {
            return;
        };
        // Even a sleep of zero lasts until the timer's next tick.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let passing = passing(&buffer[..length]);
        if to.write_all(&buffer[..passing]).await.is_err() || passing < length {
            return;
        }
    }
}
