//! A client of several task managers that serve the same tasks.
//!
//! A task manager that hangs is worse than one that is down: its kernel still accepts connections
//! and requests. So a call that is not answered soon is also sent to the next one, and the first
//! answer counts. Every call of the worker protocol may be sent twice.
//!
//! # Invariants
//! - Calls go to the task manager that answered last, as long as it answers.
//! - A call fails over to the next task manager after its `patience`, or immediately if it fails.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use super::{ApiClient, ClientError};
use crate::tls::Trust;

/// How often the names of task managers are resolved again.
const REFRESH: Duration = Duration::from_secs(10);
/// How long the resolution may take.
const RESOLUTION: Duration = Duration::from_secs(2);

/// See the module. Clones share their state.
#[derive(Debug, Clone)]
pub struct FailoverClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The configured servers.
    servers: Vec<ApiClient>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// One for each address of each server; the one that answered last is first.
    targets: Vec<Arc<Target>>,
    /// When the names are next resolved; `None` before the first call.
    refresh_at: Option<Instant>,
}

#[derive(Debug)]
struct Target {
    client: ApiClient,
    /// Set if the server's name has several addresses.
    address: Option<SocketAddr>,
}

impl Target {
    fn is(&self, server: &ApiClient, address: Option<SocketAddr>) -> bool {
        self.client.server == server.server && self.address == address
    }
}

/// A call to a task manager.
struct Call<'a> {
    path: &'a str,
    /// The body of a `POST`.
    body: Option<Bytes>,
    deadline: Duration,
}

impl Call<'_> {
    async fn at<T: DeserializeOwned>(&self, client: &ApiClient) -> Result<T, ClientError> {
        let request = match &self.body {
            None => client.request(Method::GET, self.path),
            Some(body) => client
                .request(Method::POST, self.path)
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone()),
        };
        client.json(request.timeout(self.deadline)).await
    }
}

impl FailoverClient {
    /// A client of the task managers at the URLs `servers`, each of which gets `token` if there is
    /// one. Each address of a name counts as a task manager.
    ///
    /// # Errors
    /// A URL cannot be used, or none is given.
    pub fn new(
        servers: &[String],
        token: Option<SecretString>,
        trust: &Trust,
    ) -> Result<Self, ClientError> {
        let clients =
            servers.iter().map(|server| ApiClient::trusting(server, token.clone(), trust.clone()));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        if clients.is_empty() {
            let reason = "there is no URL of a task manager".to_owned();
            return Err(ClientError::Unexpected { server: String::new(), reason });
        }
        Ok(Self::of(clients))
    }

    fn of(servers: Vec<ApiClient>) -> Self {
        let target = |client: &ApiClient| Target { client: client.clone(), address: None };
        let targets = servers.iter().map(|client| Arc::new(target(client))).collect();
        let known = Mutex::new(Known { targets, refresh_at: None });
        Self { shared: Arc::new(Shared { servers, known }) }
    }

    /// `GET path`, within `deadline`; a call that is not answered within `patience` is also sent to
    /// the next one.
    ///
    /// # Errors
    /// None of them is reachable, one refuses, or the answer has an unexpected shape.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        deadline: Duration,
        patience: Duration,
    ) -> Result<T, ClientError> {
        self.call(&Call { path, body: None, deadline }, patience).await
    }

    /// `POST path` with a JSON body, within `deadline`; a call that is not answered within
    /// `patience` is also sent to the next one, so it must be safe to send twice.
    ///
    /// # Errors
    /// The same as those of [`get`](Self::get).
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        deadline: Duration,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unexpected {
            server: self.to_string(),
            reason: format!("the request cannot be written as JSON: {error}"),
        })?;
        self.call(&Call { path, body: Some(body.into()), deadline }, patience).await
    }

    /// Calls one task manager after another until one answers.
    async fn call<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let targets = self.targets().await;
        if let [only] = &targets[..] {
            return call.at(&only.client).await;
        }
        let mut left = targets.iter();
        let mut calls = FuturesUnordered::new();
        let mut failure = None;
        loop {
            match left.next() {
                Some(target) => calls.push(async move { (target, call.at(&target.client).await) }),
                None if calls.is_empty() => {
                    return Err(failure.unwrap_or_else(|| self.unreachable()));
                }
                None => {}
            }
            tokio::select! {
                Some((target, answer)) = calls.next() => match answer {
                    Err(error) if error.is_transient() => failure = Some(error),
                    answer => {
                        self.prefer(target);
                        return answer;
                    }
                },
                () = sleep(patience), if left.len() > 0 => {}
            }
        }
    }

    fn unreachable(&self) -> ClientError {
        let server = self.to_string();
        ClientError::Unreachable { server, reason: "no answer".to_owned(), connected: false }
    }

    /// Prefers this target from now on.
    fn prefer(&self, target: &Arc<Target>) {
        let mut known = self.known();
        let position = known.targets.iter().position(|known| Arc::ptr_eq(known, target));
        if let Some(position) = position.filter(|position| *position > 0) {
            let preferred = known.targets.remove(position);
            known.targets.insert(0, preferred);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while it was locked leaves a valid list: every change is atomic.
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The targets, in the order in which to call them.
    async fn targets(&self) -> Vec<Arc<Target>> {
        let is_first = {
            let mut known = self.known();
            let now = Instant::now();
            if known.refresh_at.is_some_and(|at| at > now) {
                return known.targets.clone();
            }
            known.refresh_at.replace(now + REFRESH).is_none()
        };
        let resolution = {
            let client = self.clone();
            tokio::spawn(async move { client.resolve().await })
        };
        // Only the first call waits for the resolution; later ones use the known targets.
        if is_first {
            // An error means a panic; then the servers are called by their names.
            let _ = resolution.await;
        }
        self.known().targets.clone()
    }

    /// Resolves the current addresses of the servers.
    async fn resolve(&self) {
        let mut found = Vec::new();
        for server in &self.shared.servers {
            found.push(match timeout(RESOLUTION, lookup_host(server.host.clone())).await {
                Ok(Ok(addresses)) => Some(addresses.collect()),
                // A call to the server reports the problem with its name.
                Ok(Err(_)) | Err(_) => None,
            });
        }
        self.learn(found);
    }

    /// Stores the addresses of each server; those of an unresolved server stay.
    fn learn(&self, found: Vec<Option<Vec<SocketAddr>>>) {
        let mut known = self.known();
        let mut targets = Vec::new();
        for (server, addresses) in self.shared.servers.iter().zip(found) {
            match addresses.as_deref() {
                None => {
                    let before = known.targets.iter();
                    let before = before.filter(|target| target.client.server == server.server);
                    targets.extend(before.cloned());
                }
                Some([] | [_]) => targets.push(known.target(server, None)),
                Some(several) => targets
                    .extend(several.iter().map(|address| known.target(server, Some(*address)))),
            }
        }
        // Keeps the order: the targets that answered last stay in front.
        targets.sort_by_cached_key(|target| {
            let position = known.targets.iter().position(|known| Arc::ptr_eq(known, target));
            position.unwrap_or(usize::MAX)
        });
        *known = Known { targets, refresh_at: Some(Instant::now() + REFRESH) };
    }
}

impl Known {
    /// The known target, or a new one.
    fn target(&self, server: &ApiClient, address: Option<SocketAddr>) -> Arc<Target> {
        let found = self.targets.iter().find(|target| target.is(server, address));
        found.cloned().unwrap_or_else(|| {
            let client = address.and_then(|address| server.at(address).ok());
            Arc::new(Target { client: client.unwrap_or_else(|| server.clone()), address })
        })
    }
}

impl From<ApiClient> for FailoverClient {
    fn from(client: ApiClient) -> Self {
        Self::of(vec![client])
    }
}

impl std::fmt::Display for FailoverClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, client) in self.shared.servers.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{}", client.server)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
