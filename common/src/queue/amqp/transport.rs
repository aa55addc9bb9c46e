//! TLS under lapin, which would bring a second cryptography with its own.
//!
//! lapin reads and writes a socket. So where there is TLS it gets one end of a pair of sockets, and a
//! task carries the bytes between the other end and the broker.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Place;

/// Puts TLS under a connection to the broker: what is written to `stream` from now on is encrypted.
///
/// # Errors
/// The broker speaks no TLS, or its certificate is not trusted.
pub(super) async fn encrypt(stream: &mut TcpStream, place: &Place) -> io::Result<()> {
    let config = place.trust.client_config().map_err(io::Error::other)?;
    let host = place.address.uri().authority.host;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let (of_lapin, other) = StdUnixStream::pair()?;
    of_lapin.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    // Any stream socket will do: it is only read, written and closed.
    let of_lapin = TcpStream::from_std(OwnedFd::from(of_lapin).into())?;
    let broker = std::mem::replace(stream, of_lapin);
    let broker = TlsConnector::from(Arc::new(config)).connect(name, broker).await?;
    tokio::spawn(carry(UnixStream::from_std(other)?, broker));
    Ok(())
}

/// Ends with either side; the other one then sees the end of its connection.
async fn carry(mut lapin: UnixStream, mut broker: TlsStream<TcpStream>) {
    // lapin says what is wrong with a connection that ends.
    let _ = copy_bidirectional(&mut lapin, &mut broker).await;
}
