//! The address of a client.
//!
//! By hand: neither tower-http nor `headers` reads `X-Forwarded-For`.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;

/// Whether a proxy in front of the server adds the client's address to `X-Forwarded-For`.
#[derive(Debug, Clone, Copy)]
pub struct TrustForwardedFor(pub bool);

/// The client's address: that of the connection, or the one that the proxy in front reports.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Send + Sync,
    TrustForwardedFor: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let connection = connection.map(|info| info.0.ip().to_canonical());
        let forwarded = match TrustForwardedFor::from_ref(state) {
            TrustForwardedFor(true) => forwarded_for(parts),
            TrustForwardedFor(false) => None,
        };
        Ok(Self(forwarded.or(connection).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The last address of the header, which the proxy in front has added. The client can forge those
/// before it.
fn forwarded_for(parts: &Parts) -> Option<IpAddr> {
    let last = parts.headers.get_all("x-forwarded-for").iter().next_back()?;
    let address: IpAddr = last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn address(trust: bool, forwarded: &[&str]) -> String {
        let mut request =
            Request::builder().extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 9))));
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let state = TrustForwardedFor(trust);
        let Ok(address) = ClientAddress::from_request_parts(&mut parts, &state).await;
        address.0.to_string()
    }

    #[tokio::test]
    async fn only_the_address_of_a_trusted_proxy_is_used() {
        assert_eq!(address(false, &["192.0.2.7"]).await, "10.0.0.1");
        assert_eq!(address(true, &["192.0.2.7"]).await, "192.0.2.7");
        assert_eq!(address(true, &["1.1.1.1, 192.0.2.7"]).await, "192.0.2.7");
        assert_eq!(address(true, &["1.1.1.1", "192.0.2.7"]).await, "192.0.2.7");
        assert_eq!(address(true, &["nonsense"]).await, "10.0.0.1");
        assert_eq!(address(true, &[]).await, "10.0.0.1");
    }
}
