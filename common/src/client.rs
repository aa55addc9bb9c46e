//! An HTTP client of the task manager, for the workers and the command line.

mod failover;

pub use failover::FailoverClient;

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::causes::with_causes;
use crate::problem::Problem;
use crate::tls::{self, Trust};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: shorter than the server keeps it, so that none is closed
/// while a request is in flight.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The header that makes a call that creates something repeatable.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server answers, a proxy answers in its place, or the connection broke.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// The server's URL.
        server: String,
        /// The network error.
        reason: String,
        /// Whether there was a connection, so that the request may have been executed.
        connected: bool,
    },
    /// The server refused, with a reason.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer does not match the API.
    #[error("{server} sent an answer that this program does not understand: {reason}")]
    Unexpected {
        /// The server's URL.
        server: String,
        /// The mismatch.
        reason: String,
    },
}

impl ClientError {
    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unexpected { .. } => false,
        }
    }

    /// Whether the call may have been executed, or a retry may succeed: with an [`IDEMPOTENCY_KEY`]
    /// it can be repeated.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status == 503 || self.is_in_progress(),
            Self::Unexpected { .. } => false,
        }
    }

    /// Whether the disk of the storage or of the database has no space left.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 507)
    }

    /// Whether an earlier call with the same [`IDEMPOTENCY_KEY`] is still in progress.
    #[must_use]
    pub fn is_in_progress(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.code == "request_under_way")
    }
}

/// A client of one task manager.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    server: String,
    /// The host of the server's URL with its port.
    host: (String, u16),
    token: Option<SecretString>,
    trust: Trust,
}

impl ApiClient {
    /// A client of the task manager at the URL `server`, which sends `token` if there is one.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(server: &str, token: Option<SecretString>) -> Result<Self, ClientError> {
        Self::trusting(server, token, Trust::default())
    }

    /// Like [`new`](Self::new), with certificates to trust beside the system's.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn trusting(
        server: &str,
        token: Option<SecretString>,
        trust: Trust,
    ) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/').to_owned();
        let unusable = |reason: String| ClientError::Unexpected { server: server.clone(), reason };
        let url =
            reqwest::Url::parse(&server).map_err(|error| unusable(format!("no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            let reason = format!("`{scheme}` URLs are not supported, only http and https");
            return Err(unusable(reason));
        }
        let host = (
            url.host_str().unwrap_or_default().to_owned(),
            url.port_or_known_default().unwrap_or_default(),
        );
        let http = builder(&trust).map_err(|error| unusable(with_causes(&error)))?;
        let http = http.build().map_err(|error| unusable(with_causes(&error)))?;
        Ok(Self { http, server, host, token, trust })
    }

    /// A client of the same server that connects to `address` only, even if its name has other
    /// addresses.
    fn at(&self, address: SocketAddr) -> Result<Self, ClientError> {
        let (host, _) = &self.host;
        let http = builder(&self.trust).map_err(|error| self.unexpected(with_causes(&error)))?;
        let http = http.resolve(host, address).build();
        let http = http.map_err(|error| self.unexpected(with_causes(&error)))?;
        Ok(Self { http, ..self.clone() })
    }

    /// The server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A request to complete and then [`send`](Self::send); `path` starts with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends a request; returns the response if it is a success.
    ///
    /// # Errors
    /// The server is not reachable or refuses.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = self.respond(request).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => {
                let reason = format!("status {status} without a problem document");
                // From a proxy whose server is down, or a server that is shutting down.
                match status.is_server_error() {
                    true => Err(self.unanswered(reason)),
                    false => Err(self.unexpected(reason)),
                }
            }
        }
    }

    /// Sends a request; returns the response, whatever its status is.
    ///
    /// # Errors
    /// The server is not reachable.
    pub async fn respond(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// Sends a request and reads the JSON of the answer.
    ///
    /// # Errors
    /// The server is not reachable or refuses, or the answer has another shape.
    pub async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(error.to_string()))
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// The error for a connection that broke while an answer was read.
    #[must_use]
    pub fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let (server, connected) = (self.server.clone(), !error.is_connect());
        let reason = self.trust.explain(error, with_causes(error));
        ClientError::Unreachable { server, reason, connected }
    }

    /// The error for a connection on which nothing arrived for this long.
    #[must_use]
    pub fn stalled(&self, after: Duration) -> ClientError {
        self.unanswered(format!("no byte arrived for {} s", after.as_secs()))
    }

    /// The error for a request that the server did not answer as it should, but may later.
    #[must_use]
    pub fn unanswered(&self, reason: String) -> ClientError {
        ClientError::Unreachable { server: self.server.clone(), reason, connected: true }
    }

    fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Unexpected { server: self.server.clone(), reason }
    }
}

/// A builder of a plain HTTP client, without TLS, which the library would otherwise search for.
///
/// # Errors
/// Never; the library's settings are valid.
pub fn plain_http() -> Result<reqwest::ClientBuilder, rustls::Error> {
    Ok(reqwest::Client::builder().tls_backend_preconfigured(tls::no_trust()?))
}

/// A builder of a client. It has TLS for a server without TLS too, since that may redirect to a
/// bucket with TLS.
pub(crate) fn builder(trust: &Trust) -> Result<reqwest::ClientBuilder, rustls::Error> {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(trust.lazy_client_config()?);
    let builder = builder.connect_timeout(CONNECT_TIMEOUT).tcp_keepalive(CONNECT_TIMEOUT);
    Ok(builder.pool_idle_timeout(IDLE_TIMEOUT))
}

#[cfg(test)]
mod tests;
