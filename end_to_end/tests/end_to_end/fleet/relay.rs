//! A TCP relay that can be led elsewhere, cut, stalled and slowed down.
//!
//! Not here: refusing connections. Only a port that nobody listens on does, and the kernel could give
//! it to another program meanwhile; tests that end a service connect to it directly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What becomes of a request whose answer does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reached the server; the answer was lost.
    Done,
    /// It did not reach the server.
    Lost,
}

/// Leaves somebody in doubt: see [`Relay::leave_in_doubt`].
#[derive(Debug, Clone)]
struct Doubt {
    behind: Vec<u8>,
    request: Vec<u8>,
    fate: Fate,
}

/// What the relay does with what it is given.
#[derive(Debug, Clone)]
struct Plan {
    /// Connections go to each in turn; without any they are closed.
    targets: Vec<SocketAddr>,
    /// Connections that began under another number are closed.
    generation: u64,
    is_cut: bool,
    is_stalled: bool,
    delay: Duration,
    doubt: Option<Doubt>,
}

/// Forwards every connection. Ends with its value.
pub struct Relay {
    /// Where it listens.
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
        let plan = Plan { targets, generation: 0, is_cut, is_stalled, delay, doubt: None };
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

    /// Leads to other targets, new connections only.
    pub fn lead_to(&self, targets: Vec<SocketAddr>) {
        self.plan.send_modify(|plan| plan.targets = targets);
    }

    /// Closes all connections, and every new one at once.
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

    /// Lets everything pass this much later.
    pub fn delay(&self, delay: Duration) {
        self.plan.send_modify(|plan| plan.delay = delay);
    }

    /// Ends the connection of the first client that sends `request` behind `behind`: it never
    /// learns whether that was done.
    pub fn leave_in_doubt(&self, behind: &str, request: &[u8], fate: Fate) {
        let doubt = Doubt { behind: behind.into(), request: request.into(), fate };
        self.plan.send_modify(|plan| plan.doubt = Some(doubt));
    }

    /// Whether somebody was left in doubt since.
    pub fn left_in_doubt(&self) -> bool {
        self.plan.borrow().doubt.is_none()
    }

    /// Forwards again, at once.
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
    // Small messages are passed on at once, as their senders mean them.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut closing = plans.subscribe();
    let closed = closing.wait_for(|now| now.generation != plan.generation);
    let is_in_doubt = AtomicBool::new(false);
    let mut was_behind = false;
    let requests = |bytes: &[u8]| {
        let fate = doubted(&plans, &mut was_behind, bytes);
        is_in_doubt.fetch_or(fate.is_some(), Ordering::Relaxed);
        fate != Some(Fate::Lost)
    };
    let answers = |_: &[u8]| !is_in_doubt.load(Ordering::Relaxed);
    tokio::select! {
        () = pump(client_read, server_write, plans.subscribe(), requests) => {}
        () = pump(server_read, client_write, plans.subscribe(), answers) => {}
        _ = closed => {}
    }
}

/// What becomes of these bytes of a client, where it is to be left in doubt about them.
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

/// Carries bytes one way until either side ends, or something that may not pass comes.
async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut plans: watch::Receiver<Plan>,
    mut may_pass: impl FnMut(&[u8]) -> bool,
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
        // Even a sleep of no time lasts until the timer's next tick.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if !may_pass(&buffer[..length]) || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
