//! The address of a client, and whether its connection is encrypted.
//!
//! By hand: neither tower-http nor `headers` reads `X-Forwarded-For` and `X-Forwarded-Proto`.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

/// Whether a proxy in front of the server adds the client's address to `X-Forwarded-For`, and sets
/// `X-Forwarded-Proto` to the scheme of its connection.
#[derive(Debug, Clone, Copy)]
pub struct TrustForwardedFor(pub bool);

impl TrustForwardedFor {
    /// The client's address: that of the connection, or the one that the proxy in front reports.
    pub fn address(self, headers: &HeaderMap, extensions: &Extensions) -> IpAddr {
        let connection = extensions.get::<ConnectInfo<SocketAddr>>();
        let connection = connection.map(|info| info.0.ip());
        let forwarded = || self.last(headers, "x-forwarded-for")?.parse().ok();
        let address: Option<IpAddr> = forwarded().or(connection);
        address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.to_canonical())
    }

    /// Whether the client uses TLS. The server itself does not, so only a proxy can know.
    pub fn is_tls(self, headers: &HeaderMap) -> bool {
        let scheme = self.last(headers, "x-forwarded-proto");
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// The last value of a header, which the proxy in front has added. The client can forge those
    /// before it.
    fn last<'a>(self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let last = headers.get_all(name).iter().next_back().filter(|_| self.0)?;
        Some(last.to_str().ok()?.rsplit(',').next()?.trim())
    }
}

/// The client's address; see [`TrustForwardedFor::address`].
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Send + Sync,
    TrustForwardedFor: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let trust = TrustForwardedFor::from_ref(state);
        Ok(Self(trust.address(&parts.headers, &parts.extensions)))
    }
}

/// Whether the client uses TLS; see [`TrustForwardedFor::is_tls`].
#[derive(Debug, Clone, Copy)]
pub struct ClientTls(pub bool);

impl<S> FromRequestParts<S> for ClientTls
where
    S: Send + Sync,
    TrustForwardedFor: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(TrustForwardedFor::from_ref(state).is_tls(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};

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

    #[test]
    fn only_a_trusted_proxy_says_that_a_client_uses_tls() {
        let is_tls = |trust, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-proto", HeaderValue::from_static(value));
            }
            TrustForwardedFor(trust).is_tls(&headers)
        };
        for https in [&["https"][..], &["HTTPS"], &["http, https"], &["http", "https"]] {
            assert!(is_tls(true, https), "{https:?}");
            assert!(!is_tls(false, https), "{https:?}");
        }
        for other in [&["http"][..], &["https, http"], &["https", "http"], &[""], &[]] {
            assert!(!is_tls(true, other), "{other:?}");
        }
    }
}
