//! TLS under lapin, whose own TLS would link a second cryptography library.
//!
//! lapin reads and writes a socket. With TLS it gets one end of a socket pair, and a task copies
//! the bytes between the other end and the broker.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::BrokerTarget;

/// Puts TLS under a connection to the broker: from now on, writes to `stream` are encrypted.
///
/// # Errors
/// The broker does not support TLS, or its certificate is not trusted.
pub(super) async fn encrypt(stream: &mut TcpStream, target: &BrokerTarget) -> io::Result<()> {
    let config = target.trust.client_config().map_err(io::Error::other)?;
    let host = target.address.uri().authority.host;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let (of_lapin, other) = StdUnixStream::pair()?;
    of_lapin.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    // Any stream socket works: it is only read, written and closed.
    let of_lapin = TcpStream::from_std(OwnedFd::from(of_lapin).into())?;
    let broker = std::mem::replace(stream, of_lapin);
    let broker = TlsConnector::from(Arc::new(config)).connect(name, broker).await?;
    tokio::spawn(carry(UnixStream::from_std(other)?, broker));
    Ok(())
}

/// Copies until either side closes; the other side is then closed too.
async fn carry(mut lapin: UnixStream, mut broker: TlsStream<TcpStream>) {
    // lapin reports why a connection ended.
    let _ = copy_bidirectional(&mut lapin, &mut broker).await;
}
