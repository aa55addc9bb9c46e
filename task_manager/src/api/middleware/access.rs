//! Authentication: of users by their tokens, of workers by the service token. If no login is
//! required, any client on this machine is the user `local`.
//!
//! A token comes in the header `Authorization`, or else in the session cookie. An API key comes in the
//! header only.
//!
//! # Invariants
//! - A route behind [`authenticate`] is reached by known users only. A handler that takes
//!   [`CurrentUser`] but is not behind it refuses every request.
//! - An invalid token is refused even if no token is required. A cookie that is not valid is ignored
//!   then: browsers send it for servers on other ports of the machine too.
//! - A cookie is accepted from pages of this server only ([`own_page`]).
//! - A viewer changes nothing but the viewer's own sessions, password and keys.
//! - An API key changes nothing without its scope `write`, and never users, passwords, sessions or
//!   keys.
//! - Nothing under `/internal` is reachable without the service token. The service token is not
//!   accepted from users, and user tokens are not accepted from workers.
//!
//! By hand: `Authorization` of the crate `headers` reads only the first of several headers, and
//! `ValidateRequestHeaderLayer` of tower-http does not compare in constant time.

use std::net::IpAddr;

use axum::body::HttpBody;
use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::clock;
use common::task::{TaskId, UserId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::accounts::LOCAL_USER;
use crate::accounts::api_keys::scopes::Scope;
use crate::accounts::api_keys::{self, ApiKeyUse, ApiKeys};
use crate::accounts::last_used::LastUsed;
use crate::accounts::sessions::Roles;
use crate::accounts::sessions::tokens::{Session, Tokens};
use crate::accounts::users::Role;
use crate::api::middleware::own_page;
use crate::api::request::address::TrustForwardedFor;
use crate::api::request::file::linger;
use crate::api::session_cookie;
use crate::audit::{Action, Actor, Audit, Entry};
use crate::db::{Database, DbResult};
use crate::error::Error;
use crate::log_fields::log_user;
use crate::tasks::store;

/// The user who sent the request.
#[derive(Debug, Clone, Copy)]
pub struct CurrentUser {
    pub id: UserId,
    /// The address of the client.
    address: IpAddr,
    role: Role,
    /// The session of the token, if one was sent.
    pub session: Option<Session>,
    /// The API key, if one was sent.
    pub key: Option<ApiKeyUse>,
    /// Whether the token came in a cookie.
    pub is_by_cookie: bool,
}

impl CurrentUser {
    /// The user of requests without a token, where no login is required.
    fn local(address: IpAddr) -> Self {
        let (session, key) = (None, None);
        Self { id: LOCAL_USER, address, role: Role::Admin, session, key, is_by_cookie: false }
    }

    /// The user as the audit log names it.
    pub fn actor(self) -> Actor {
        Actor { user: self.id, address: self.address }
    }

    /// What the user may do.
    pub fn role(self) -> Role {
        self.role
    }

    /// Whether the user may make requests that concern the whole platform.
    pub fn is_administrator(self) -> bool {
        self.role == Role::Admin
    }

    /// The user on whose behalf a request about a task is served: the owner if an administrator
    /// sends it, otherwise the user, so that tasks of others are not found.
    pub async fn owner_of(self, db: &Database, id: TaskId) -> Result<UserId, Error> {
        if !self.is_administrator() {
            return Ok(self.id);
        }
        let owner = db.read(move |conn| store::owner_of(conn, id)).await?;
        Ok(owner.unwrap_or(self.id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().copied().ok_or(Error::TokenMissing)
    }
}

/// Shows that the user is an administrator; `local` is one.
#[derive(Debug, Clone, Copy)]
pub struct Administrator;

impl<S> FromRequestParts<S> for Administrator
where
    S: Send + Sync,
    Audit: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        if user.is_administrator() {
            return Ok(Self);
        }
        let path = parts.uri.path();
        let entry = Entry::of(Action::Refused, user.actor()).with_detail(path);
        Audit::from_ref(state).note(entry);
        Err(Error::NotAdministrator)
    }
}

/// Identifies the user of a request.
#[derive(Debug, Clone)]
pub struct Authenticator {
    pub roles: Roles,
    pub keys: ApiKeys,
    pub last_used: LastUsed,
    pub keys_used: LastUsed,
    pub tokens: Tokens,
    pub trust_forwarded_for: TrustForwardedFor,
    /// Whether a request without a token is refused.
    pub login_required: bool,
}

impl Authenticator {
    async fn identify(&self, parts: &Parts) -> Result<CurrentUser, Error> {
        let address = self.trust_forwarded_for.address(&parts.headers, &parts.extensions);
        if let Some(token) = bearer(&parts.headers)? {
            if api_keys::is_key(token) {
                return self.owner_of(token, address).await;
            }
            return self.user_of(token, address).await?.ok_or(INVALID_TOKEN);
        }
        let is_tls = self.trust_forwarded_for.is_tls(&parts.headers);
        let cookie = session_cookie::token(&parts.headers, is_tls);
        let user = match cookie {
            Some(token) => self.user_of(token, address).await?,
            None => None,
        };
        match user {
            Some(user) => {
                own_page::check(parts, is_tls)?;
                Ok(CurrentUser { is_by_cookie: true, ..user })
            }
            None if !self.login_required => Ok(CurrentUser::local(address)),
            None if cookie.is_some() => Err(INVALID_TOKEN),
            None => Err(Error::TokenMissing),
        }
    }

    /// The user of a token; none if the token is invalid.
    async fn user_of(&self, token: &str, address: IpAddr) -> Result<Option<CurrentUser>, Error> {
        let Some(session) = self.tokens.verify(token) else { return Ok(None) };
        let Some(role) = self.roles.of(session).await? else { return Ok(None) };
        self.last_used.note(session.id);
        let (id, session) = (session.user, Some(session));
        Ok(Some(CurrentUser { id, address, role, session, key: None, is_by_cookie: false }))
    }

    /// The owner of an API key.
    async fn owner_of(&self, key: &str, address: IpAddr) -> Result<CurrentUser, Error> {
        let key = self.keys.verify(key).await?;
        self.keys_used.note(key.id);
        let (id, role, key) = (key.user, key.role(), Some(key));
        Ok(CurrentUser { id, address, role, session: None, key, is_by_cookie: false })
    }

    /// The role that the token or key of a request has now; `None` if it has expired or was revoked,
    /// or its user was disabled or deleted.
    pub async fn current_role(&self, user: CurrentUser) -> DbResult<Option<Role>> {
        match (user.session, user.key) {
            (Some(session), _) if session.expires_at <= clock::now() => Ok(None),
            (Some(session), _) => self.roles.of(session).await,
            (None, Some(key)) => Ok(self.keys.current(key).await?.map(ApiKeyUse::role)),
            (None, None) => Ok(Some(user.role)),
        }
    }
}

/// The path of the caller's own API keys.
const OWN_KEYS: &str = "/v1/users/me/keys";

/// Refuses a request by which a viewer would change more than the viewer's own sessions, password and
/// keys.
fn check_viewer(user: CurrentUser, parts: &Parts) -> Result<CurrentUser, Error> {
    let path = parts.uri.path();
    let is_permitted = match parts.method {
        Method::DELETE => ["/v1/sessions/", OWN_KEYS].iter().any(|own| path.starts_with(own)),
        Method::POST => path == OWN_KEYS,
        Method::PUT => path == "/v1/users/me/password",
        _ => parts.method.is_safe(),
    };
    match user.role == Role::Viewer && !is_permitted {
        true => Err(Error::ReadOnly),
        false => Ok(user),
    }
}

/// Refuses a request by which an API key would change what it may not.
fn check_key(user: CurrentUser, parts: &Parts) -> Result<CurrentUser, Error> {
    let Some(key) = user.key.filter(|_| !parts.method.is_safe()) else { return Ok(user) };
    let is_of_accounts =
        ["/v1/users", "/v1/sessions"].iter().any(|path| parts.uri.path().starts_with(path));
    match key.scopes.write {
        _ if is_of_accounts => Err(Error::NotByKey),
        false => Err(Error::ScopeMissing(Scope::Write.as_str())),
        true => Ok(user),
    }
}

const INVALID_TOKEN: Error = Error::InvalidToken(
    "The token is invalid or has expired. Log in again with POST /v1/sessions.",
);

/// Passes a request on to its handler if its user is known; otherwise refuses it.
pub async fn authenticate(
    State(authenticator): State<Authenticator>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let identified = authenticator.identify(&parts).await;
    let permitted = identified.and_then(|user| check_viewer(check_key(user, &parts)?, &parts));
    match permitted {
        Ok(user) => {
            log_user(user.id.0);
            parts.extensions.insert(user);
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if user.is_by_cookie {
                // Shared caches know that a response to `Authorization` is for one user only.
                let private = HeaderValue::from_static("private");
                response.headers_mut().entry(header::CACHE_CONTROL).or_insert(private);
            }
            response
        }
        Err(error) => {
            // So that a client that is still uploading sees the answer, not a reset connection.
            if !body.is_end_stream() {
                linger(body.into_data_stream());
            }
            error.into_response()
        }
    }
}

/// The token of the `Authorization` header, if the request has one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str().ok().and_then(|value| value.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Some(token.trim()))
            }
            _ => Err(Error::InvalidToken(
                "The Authorization header must be `Bearer` and the token of POST /v1/sessions.",
            )),
        },
        (Some(_), Some(_)) => {
            Err(Error::InvalidToken("There is more than one Authorization header."))
        }
    }
}

/// The secret that workers send.
#[derive(Debug, Clone)]
pub struct ServiceToken(pub SecretString);

/// Passes a request on to its handler if it carries the service token; otherwise refuses it.
pub async fn authenticate_worker(
    State(ServiceToken(expected)): State<ServiceToken>,
    request: Request,
    next: Next,
) -> Response {
    match bearer(request.headers()) {
        Ok(Some(token)) if is_same(token, expected.expose_secret()) => next.run(request).await,
        _ => Error::InvalidToken("This request needs the service token of the workers.")
            .into_response(),
    }
}

/// Compares digests, so that the time it takes reveals nothing about the secret.
fn is_same(given: &str, expected: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(expected)
}
