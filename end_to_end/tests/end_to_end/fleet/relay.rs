//! A TCP relay that can be led elsewhere, cut, stalled and slowed down.
//!
//! Not here: refusing connections. Only a port that nobody listens on does, and the kernel could give
//! it to another program meanwhile; tests that end a service connect to it directly.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

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
        let plan = Plan { targets, generation: 0, is_cut, is_stalled, delay: Duration::ZERO };
        let (plan, plans) = watch::channel(plan);
        let accepting = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, number, plans.clone()));
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

async fn forward(client: TcpStream, number: usize, plans: watch::Receiver<Plan>) {
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
    let mut closing = plans.clone();
    let closed = closing.wait_for(|now| now.generation != plan.generation);
    tokio::select! {
        () = pump(client_read, server_write, plans.clone()) => {}
        () = pump(server_read, client_write, plans.clone()) => {}
        _ = closed => {}
    }
}

/// Carries bytes one way until either side ends.
async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut plans: watch::Receiver<Plan>,
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
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
