//! One connection to the broker.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

use super::outage::{in_words, no_answer};
use super::{PATIENCE, Place};

/// A connection. Dropped, it says goodbye once no channel of it is in use.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
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
        let socket = plug.clone();
        let connect = Connection::connector(
            place.address.uri(),
            runtime,
            async move |uri, runtime| {
                let host = (uri.authority.host.clone(), uri.authority.port);
                let addresses = tokio::net::lookup_host(host).await?.collect::<Vec<_>>();
                let stream = timeout(PATIENCE, AsyncTcpStream::connect(&runtime, &addresses[..]))
                    .await
                    .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    socket.hold(stream.get_ref())?;
                }
                Ok(stream)
            },
            properties,
        );
        let connection = match timeout(PATIENCE, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(in_words(&error)),
            Err(_) => return Err(no_answer()),
        };
        pull.keep();
        Ok(Self { connection, plug })
    }

    /// A new channel on this connection.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Ends the connection without a word: for a broker that does not answer.
    pub(super) fn cut(&self) {
        self.plug.pull();
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
