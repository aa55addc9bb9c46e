//! One connection to the broker, and its channels.
//!
//! # Invariants
//! - A drop at any moment ends a connection or channel at the broker too, even while it is being
//!   opened, with all its consumers and deliveries. lapin closes unreferenced connections, but a
//!   consumer whose opening was abandoned refers to its channel and connection for ever; so both
//!   are closed here.

use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::constants::REPLY_SUCCESS;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{AsyncTcpStream, Channel, ConnectionProperties, ErrorKind};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::outage::{in_words, no_answer};
use super::transport;
use super::{BrokerTarget, PATIENCE};

/// A connection. Its channels keep it open; dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) lapin: Arc<lapin::Connection>,
    shutdown: ShutdownHandle,
}

impl Connection {
    /// Connects; `role` names the connection for the broker's operator.
    ///
    /// # Errors
    /// The reason, within [`PATIENCE`].
    pub(super) async fn open(target: &BrokerTarget, role: &str) -> Result<Self, String> {
        let shutdown = ShutdownHandle::default();
        // Also if this future is dropped: lapin's thread would wait for the broker for ever.
        let guard = ShutDownOnDrop(Some(shutdown.clone()));
        let runtime = lapin::runtime::default_runtime().map_err(|error| in_words(&error))?;
        let name = format!("{} {role}", target.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let (socket, to) = (shutdown.clone(), target.clone());
        let connect = lapin::Connection::connector(
            target.address.uri(),
            runtime,
            async move |uri, runtime| {
                let host = (uri.authority.host.clone(), uri.authority.port);
                let addresses = tokio::net::lookup_host(host).await?.collect::<Vec<_>>();
                let connecting = AsyncTcpStream::connect(&runtime, &addresses[..]);
                let mut stream = timeout(PATIENCE, connecting)
                    .await
                    .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                if let AsyncTcpStream::Plain(stream) = &mut stream {
                    socket.attach(stream.get_ref())?;
                    if to.address.has_tls() {
                        transport::encrypt(stream.get_mut(), &to).await?;
                    }
                }
                Ok(stream)
            },
            properties,
        );
        let connection = match timeout(PATIENCE, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                return Err(match error.kind() {
                    ErrorKind::IOError(cause) => target.trust.explain(&**cause, in_words(&error)),
                    _ => in_words(&error),
                });
            }
            Err(_) => return Err(no_answer()),
        };
        guard.disarm();
        Ok(Self { lapin: Arc::new(connection), shutdown })
    }

    /// A new channel on this connection.
    pub(super) async fn channel(self: &Arc<Self>) -> lapin::Result<OwnedChannel> {
        let channel = self.lapin.create_channel().await?;
        Ok(OwnedChannel { channel, connection: Arc::clone(self) })
    }

    /// Whether the connection is usable, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        !self.shutdown.is_shut_down() && self.lapin.status().connected()
    }

    /// Shuts down the socket without closing the connection properly: for a broker that does not
    /// answer.
    pub(super) fn abort(&self) {
        self.shutdown.shut_down();
    }

    /// Closes the connection, in the background and within [`PATIENCE`], even if it is still in
    /// use.
    pub(super) fn close(&self) {
        let Ok(runtime) = Handle::try_current() else { return self.abort() };
        if self.shutdown.is_shut_down() {
            return;
        }
        let (connection, shutdown) = (Arc::clone(&self.lapin), self.shutdown.clone());
        runtime.spawn(async move {
            // The socket is shut down even if the broker does not answer.
            let _ = timeout(PATIENCE, connection.close(REPLY_SUCCESS, "OK".into())).await;
            shutdown.shut_down();
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// A channel, which keeps its connection open. Dropping it closes it: the broker ends its
/// consumers, including those whose opening was abandoned, and requeues unacked messages.
#[derive(Debug)]
pub(super) struct OwnedChannel {
    channel: Channel,
    pub(super) connection: Arc<Connection>,
}

impl Deref for OwnedChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for OwnedChannel {
    fn drop(&mut self) {
        // The first poll queues it in lapin, after everything that was sent on the channel.
        let _ = self.channel.close(REPLY_SUCCESS, "OK".into()).now_or_never();
    }
}

/// Declares the queue, which creates it if it does not exist.
///
/// # Errors
/// The queue exists with other arguments, or the broker is down. The channel is then closed.
pub(super) async fn declare(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions::durable();
    channel.queue_declare(queue.into(), options, arguments).await?;
    Ok(())
}

/// A second handle on the socket that lapin owns: a connection to a broker that does not answer can
/// be ended only by shutting down its socket.
#[derive(Debug, Clone, Default)]
struct ShutdownHandle(Arc<Mutex<Socket>>);

#[derive(Debug, Default)]
enum Socket {
    #[default]
    NotOpen,
    Open(TcpStream),
    ShutDown,
}

impl ShutdownHandle {
    fn attach(&self, stream: &tokio::net::TcpStream) -> std::io::Result<()> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*socket, Socket::ShutDown) {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
        }
        *socket = Socket::Open(stream.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    fn is_shut_down(&self) -> bool {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*socket, Socket::ShutDown)
    }

    fn shut_down(&self) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socket::Open(stream) = std::mem::replace(&mut *socket, Socket::ShutDown) {
            // An error means that the connection has ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct ShutDownOnDrop(Option<ShutdownHandle>);

impl ShutDownOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ShutDownOnDrop {
    fn drop(&mut self) {
        if let Some(shutdown) = &self.0 {
            shutdown.shut_down();
        }
    }
}
