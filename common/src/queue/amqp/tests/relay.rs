//! A TCP relay in front of the broker that can cut connections, stall them, and inject frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapin::uri::AMQPUri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use super::fixture::broker_url;

/// How connections are treated. Every change closes the open ones, except for `IsSilent`, which
/// stalls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Passes,
    Refuses,
    IsSilent,
}

pub(super) struct Relay {
    uri: AMQPUri,
    reach: watch::Sender<Reach>,
    to_client: broadcast::Sender<Vec<u8>>,
    connections: Arc<AtomicUsize>,
    /// Every connection holds a clone.
    open: Arc<()>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut uri: AMQPUri = broker_url().parse().unwrap();
        let broker = format!("{}:{}", uri.authority.host, uri.authority.port);
        uri.authority.host = "127.0.0.1".to_owned();
        uri.authority.port = listener.local_addr().unwrap().port();
        let reach = watch::Sender::new(Reach::Passes);
        let to_client = broadcast::Sender::new(10);
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(());
        let held = Arc::clone(&open);
        let (watched, said, count) = (reach.clone(), to_client.clone(), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (held, broker) = (Arc::clone(&held), broker.clone());
                let (reach, said) = (watched.subscribe(), said.subscribe());
                tokio::spawn(async move {
                    carry(client, broker, reach, said).await;
                    drop(held);
                });
            }
        });
        Self { uri, reach, to_client, connections, open, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn url(&self) -> String {
        self.uri.to_string()
    }

    pub(super) fn set(&self, reach: Reach) {
        self.reach.send_replace(reach);
    }

    /// The address as the log shows it.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    /// The number of connections so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The number of open connections.
    pub(super) fn open(&self) -> usize {
        // One clone belongs to the relay, one to the accepting task.
        Arc::strong_count(&self.open) - 2
    }

    /// The text that the log must not contain.
    pub(super) fn credentials(&self) -> String {
        format!("{}@", self.uri.authority.userinfo.password)
    }

    /// Sends `connection.blocked` in the name of the broker.
    pub(super) fn block(&self, reason: &str) {
        let mut arguments = vec![u8::try_from(reason.len()).unwrap()];
        arguments.extend(reason.as_bytes());
        self.say(60, &arguments);
    }

    /// Sends `connection.unblocked` in the name of the broker.
    pub(super) fn unblock(&self) {
        self.say(61, &[]);
    }

    fn say(&self, method: u8, arguments: &[u8]) {
        const METHOD_FRAME: u8 = 1;
        const CONNECTION_CLASS: u8 = 10;
        const END: u8 = 0xce;
        let length = u8::try_from(4 + arguments.len()).unwrap();
        let mut frame = vec![METHOD_FRAME, 0, 0, 0, 0, 0, length, 0, CONNECTION_CLASS, 0, method];
        frame.extend(arguments);
        frame.push(END);
        self.to_client.send(frame).unwrap();
    }
}

async fn carry(
    mut client: TcpStream,
    broker: String,
    mut reach: watch::Receiver<Reach>,
    mut said: broadcast::Receiver<Vec<u8>>,
) {
    let mut silent = match *reach.borrow_and_update() {
        Reach::Refuses => return,
        Reach::Passes => false,
        Reach::IsSilent => true,
    };
    let mut broker = TcpStream::connect(broker).await.unwrap();
    let (mut up, mut down) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            length = client.read(&mut up) => match length {
                Ok(0) | Err(_) => return,
                Ok(_) if silent => {}
                Ok(length) => broker.write_all(&up[..length]).await.unwrap(),
            },
            length = broker.read(&mut down) => match length {
                Ok(0) | Err(_) => return,
                Ok(_) if silent => {}
                Ok(length) => client.write_all(&down[..length]).await.unwrap(),
            },
            frame = said.recv() => client.write_all(&frame.unwrap()).await.unwrap(),
            _ = reach.changed() => match *reach.borrow_and_update() {
                Reach::IsSilent => silent = true,
                Reach::Passes | Reach::Refuses => return,
            },
        }
    }
}
