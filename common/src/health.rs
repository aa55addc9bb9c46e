//! Checks whether a server on this machine is ready: the `health` command of the programs, for
//! health checks of containers and for operators.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Method;

use crate::client::ApiClient;

/// A server that takes longer to answer is not ready.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Requests `/readyz` from the server that listens on `listen`, and returns its answer.
///
/// # Errors
/// The server does not answer, or is not ready; the text says which.
pub async fn check(listen: SocketAddr) -> Result<String, String> {
    let server = format!("http://{}", reachable(listen));
    let client = ApiClient::new(&server, None).map_err(|error| error.to_string())?;
    let request = client.request(Method::GET, "/readyz").timeout(TIMEOUT);
    let unreachable = |error| client.unreachable(&error).to_string();
    let response = request.send().await.map_err(unreachable)?;
    let is_ready = response.status().is_success();
    let answer = response.text().await.map_err(unreachable)?;
    if is_ready { Ok(answer) } else { Err(format!("{server} is not ready: {answer}")) }
}

/// The address of a server; for one that listens on all addresses, the loopback address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that sends one answer, and the address that it was configured to listen on.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = connection.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /readyz "));
            connection.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_ready_server_is_found_behind_an_unspecified_address() {
        let address = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready").await;
        assert_eq!(check(address).await.unwrap(), "ready");
    }

    #[tokio::test]
    async fn a_server_that_is_not_ready_says_why() {
        let address = server("HTTP/1.1 503 -\r\nContent-Length: 11\r\n\r\nno database").await;
        let error = check(address).await.unwrap_err();
        assert!(error.contains("is not ready: no database"), "{error}");
    }

    #[tokio::test]
    async fn a_stopped_server_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = check(address).await.unwrap_err();
        assert!(error.contains("cannot be reached"), "{error}");
    }
}
