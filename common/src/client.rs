//! An HTTP client of the task manager, for the workers and the command line.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The header that makes a call that creates something the same one when it is repeated.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server answers there, a proxy answers in its place, or the connection broke.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// The server's URL.
        server: String,
        /// What the network said.
        reason: String,
        /// Whether there was a connection, so that the request may have been carried out.
        connected: bool,
    },
    /// The server refused, and said why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not what the API promises.
    #[error("{server} gave an answer that this program does not understand: {reason}")]
    Unexpected {
        /// The server's URL.
        server: String,
        /// What was wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Whether the same call may work later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unexpected { .. } => false,
        }
    }

    /// Whether the same call may have been carried out, or may be later: with an
    /// [`IDEMPOTENCY_KEY`] it can be repeated.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status == 503 || self.is_under_way(),
            Self::Unexpected { .. } => false,
        }
    }

    /// Whether an earlier call with the same [`IDEMPOTENCY_KEY`] is not done yet.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.code == "request_under_way")
    }
}

/// A client of one task manager.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    server: String,
    token: Option<SecretString>,
}

impl ApiClient {
    /// A client of the task manager at the URL `server`, which shows `token` where there is one.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(server: &str, token: Option<SecretString>) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/').to_owned();
        let unusable = |reason: String| ClientError::Unexpected { server: server.clone(), reason };
        let url =
            reqwest::Url::parse(&server).map_err(|error| unusable(format!("no URL: {error}")))?;
        if url.scheme() != "http" {
            return Err(unusable(format!("`{}` URLs are not supported, only http", url.scheme())));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| unusable(chain(&error)))?;
        Ok(Self { http, server, token })
    }

    /// The server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A request to be filled and then [`sent`](Self::send); `path` starts with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends a request; answers the response where it is a success.
    ///
    /// # Errors
    /// The server is not reachable or refuses.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => {
                let reason = format!("status {status} without a problem document");
                // Of a proxy whose server is away, or of a server that is about to end.
                match status.is_server_error() {
                    true => Err(self.unanswered(reason)),
                    false => Err(self.unexpected(reason)),
                }
            }
        }
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

    /// `POST path` with a JSON body, within `timeout`.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body).timeout(timeout)).await
    }

    /// Says that the connection broke while an answer was read.
    #[must_use]
    pub fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let (server, connected) = (self.server.clone(), !error.is_connect());
        ClientError::Unreachable { server, reason: chain(error), connected }
    }

    fn unanswered(&self, reason: String) -> ClientError {
        ClientError::Unreachable { server: self.server.clone(), reason, connected: true }
    }

    fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Unexpected { server: self.server.clone(), reason }
    }
}

/// An error with its causes: the outer ones of the HTTP client say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
