//! One connection to the broker, and its channels.
//!
//! # Invariants
//! - Whatever is dropped ends at the broker too, at any moment: a connection that is being opened, an
//!   open one, and a channel with all its consumers and deliveries. lapin closes what nobody refers to
//!   any more, but a consumer whose opening was abandoned refers to its channel and connection for
//!   ever; so both are closed here.

use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::constants::REPLY_SUCCESS;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::outage::{in_words, no_answer};
use super::transport;
use super::{PATIENCE, Place};

/// A connection. Its channels keep it open; dropped, it is closed.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Arc<Connection>,
    plug: Plug,
}

impl Link {
    /// Connects; `role` tells the broker's operator what the connection is for.
    ///
    /// # Errors
    /// Why not, within [`PATIENCE`].
    pub(super) async fn open(place: &Place, role: &str) -> Result<Self, String> {
        let plug = Plug::default();
        // Where this future is dropped too: lapin's thread would wait for the broker for ever.
        let pull = PullOnDrop(Some(plug.clone()));
        let runtime = lapin::runtime::default_runtime().map_err(|error| in_words(&error))?;
        let name = format!("{} {role}", place.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let (socket, to) = (plug.clone(), place.clone());
        let connect = Connection::connector(
            place.address.uri(),
            runtime,
            async move |uri, runtime| {
                let host = (uri.authority.host.clone(), uri.authority.port);
                let addresses = tokio::net::lookup_host(host).await?.collect::<Vec<_>>();
                let connecting = AsyncTcpStream::connect(&runtime, &addresses[..]);
                let mut stream = timeout(PATIENCE, connecting)
                    .await
                    .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                if let AsyncTcpStream::Plain(stream) = &mut stream {
                    socket.hold(stream.get_ref())?;
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
                    ErrorKind::IOError(cause) => place.trust.explain(&**cause, in_words(&error)),
                    _ => in_words(&error),
                });
            }
            Err(_) => return Err(no_answer()),
        };
        pull.keep();
        Ok(Self { connection: Arc::new(connection), plug })
    }

    /// A new channel on this connection.
    pub(super) async fn channel(self: &Arc<Self>) -> lapin::Result<OwnedChannel> {
        let channel = self.connection.create_channel().await?;
        Ok(OwnedChannel { channel, link: Arc::clone(self) })
    }

    /// Whether the connection can be used, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        !self.plug.is_pulled() && self.connection.status().connected()
    }

    /// Ends the connection without a word: for a broker that does not answer.
    pub(super) fn cut(&self) {
        self.plug.pull();
    }

    /// Closes the connection, in the background and within [`PATIENCE`], whatever still uses it.
    pub(super) fn close(&self) {
        let Ok(runtime) = Handle::try_current() else { return self.cut() };
        if self.plug.is_pulled() {
            return;
        }
        let (connection, plug) = (Arc::clone(&self.connection), self.plug.clone());
        runtime.spawn(async move {
            // The socket is shut down whatever the broker answers.
            let _ = timeout(PATIENCE, connection.close(REPLY_SUCCESS, "OK".into())).await;
            plug.pull();
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// A channel, which keeps its connection open. Dropped, it is closed: the broker ends its consumers,
/// also those whose opening was abandoned, and takes back what was not acked.
#[derive(Debug)]
pub(super) struct OwnedChannel {
    channel: Channel,
    pub(super) link: Arc<Link>,
}

impl Deref for OwnedChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for OwnedChannel {
    fn drop(&mut self) {
        // The first poll hands it over, behind everything that was sent on the channel.
        let _ = self.channel.close(REPLY_SUCCESS, "OK".into()).now_or_never();
    }
}

/// Makes the queue, where it is not there yet.
///
/// # Errors
/// The channel is closed then: the queue exists with other arguments, or the broker is away.
pub(super) async fn declare(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions::durable();
    channel.queue_declare(queue.into(), options, arguments).await?;
    Ok(())
}

/// A second handle on the socket that lapin owns, since a connection that got no answer can only
/// be ended from below.
#[derive(Debug, Clone, Default)]
struct Plug(Arc<Mutex<Socket>>);

#[derive(Debug, Default)]
enum Socket {
    #[default]
    NotYet,
    Open(TcpStream),
    Pulled,
}

impl Plug {
    fn hold(&self, stream: &tokio::net::TcpStream) -> std::io::Result<()> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*socket, Socket::Pulled) {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
        }
        *socket = Socket::Open(stream.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    fn is_pulled(&self) -> bool {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*socket, Socket::Pulled)
    }

    fn pull(&self) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socket::Open(stream) = std::mem::replace(&mut *socket, Socket::Pulled) {
            // An error means that there is no connection any more.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct PullOnDrop(Option<Plug>);

impl PullOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for PullOnDrop {
    fn drop(&mut self) {
        if let Some(plug) = &self.0 {
            plug.pull();
        }
    }
}
