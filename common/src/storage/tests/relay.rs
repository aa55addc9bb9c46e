//! A TCP relay in front of a server that cuts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What happens to the connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many bytes pass in both directions together, until a connection is cut.
    pub(super) bytes: usize,
    /// How many connections are cut; the later ones are not.
    pub(super) cuts: usize,
    /// Only connections are cut on which such a request was sent.
    pub(super) request: &'static str,
    /// How long each piece is delayed.
    pub(super) delay: Duration,
}

pub(super) struct Relay {
    pub(super) url: String,
    cuts: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    /// A relay in front of the server at `url`.
    pub(super) async fn start(url: &str, plan: Plan) -> Self {
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, cuts) = (target.clone(), Arc::clone(&count));
                tokio::spawn(async move { carry(client, &target, plan, &cuts).await });
            }
        });
        Self { url: format!("http://{address}"), cuts, _task: AbortOnDropHandle::new(task) }
    }

    /// The number of connections that were cut so far.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, target: &str, plan: Plan, cuts: &AtomicUsize) {
    let mut server = TcpStream::connect(target).await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut passed, mut is_meant) = (0, plan.request.is_empty());
    loop {
        let sent = tokio::select! {
            length = client.read(&mut up) => match length {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    passed += length;
                    is_meant |= String::from_utf8_lossy(&up[..length]).contains(plan.request);
                    tokio::time::sleep(plan.delay).await;
                    server.write_all(&up[..length]).await
                }
            },
            length = server.read(&mut down) => match length {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    passed += length;
                    tokio::time::sleep(plan.delay).await;
                    client.write_all(&down[..length]).await
                }
            },
        };
        if sent.is_err() {
            return;
        }
        if is_meant && passed >= plan.bytes && cuts.load(Ordering::Relaxed) < plan.cuts {
            cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}
