//! Authentication: of users by their tokens, of workers by the service token. If no login is
//! required, any client on this machine is the user `local`.
//!
//! # Invariants
//! - A route behind [`authenticate`] is reached by known users only. A handler that takes
//!   [`CurrentUser`] but is not behind it refuses every request.
//! - An invalid token is refused even if no token is required.
//! - Nothing under `/internal` is reachable without the service token. The service token is not
//!   accepted from users, and user tokens are not accepted from workers.
//!
//! By hand: `Authorization` of the crate `headers` reads only the first of several headers, and
//! `ValidateRequestHeaderLayer` of tower-http does not compare in constant time.

use axum::body::HttpBody;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::task::UserId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tracing::info;

use crate::accounts::LOCAL_USER;
use crate::accounts::sessions::Roles;
use crate::accounts::sessions::tokens::{Session, Tokens};
use crate::accounts::users::Role;
use crate::api::request::file::linger;
use crate::audit;
use crate::error::Error;
use crate::log_fields::log_user;

/// The user who sent the request.
#[derive(Debug, Clone, Copy)]
pub struct CurrentUser {
    pub id: UserId,
    role: Role,
    /// The session of the token, if one was sent.
    pub session: Option<Session>,
}

impl CurrentUser {
    /// Whether the user may make requests that concern the whole platform.
    pub fn is_administrator(self) -> bool {
        self.role == Role::Admin
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

impl<S: Send + Sync> FromRequestParts<S> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        if user.is_administrator() {
            return Ok(Self);
        }
        let path = parts.uri.path();
        info!(target: audit::TARGET, user_id = %user.id.0, path, "refused: not an administrator");
        Err(Error::NotAdministrator)
    }
}

/// Identifies the user of a request.
#[derive(Debug, Clone)]
pub struct Authenticator {
    pub roles: Roles,
    pub tokens: Tokens,
    /// Whether a request without a token is refused.
    pub login_required: bool,
}

impl Authenticator {
    async fn identify(&self, headers: &HeaderMap) -> Result<CurrentUser, Error> {
        let Some(token) = bearer(headers)? else {
            return match self.login_required {
                true => Err(Error::TokenMissing),
                false => Ok(CurrentUser { id: LOCAL_USER, role: Role::Admin, session: None }),
            };
        };
        let session = self.tokens.verify(token).ok_or(INVALID_TOKEN)?;
        let role = self.roles.of(session).await?.ok_or(INVALID_TOKEN)?;
        Ok(CurrentUser { id: session.user, role, session: Some(session) })
    }
}

const INVALID_TOKEN: Error = Error::InvalidToken(
    "The token is invalid or has expired. Log in again with POST /v1/sessions.",
);

/// Passes a request on to its handler if its user is known; otherwise refuses it.
pub async fn authenticate(
    State(authenticator): State<Authenticator>,
    mut request: Request,
    next: Next,
) -> Response {
    match authenticator.identify(request.headers()).await {
        Ok(user) => {
            log_user(user.id.0);
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(error) => {
            // So that a client that is still uploading sees the answer, not a reset connection.
            let body = request.into_body();
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
