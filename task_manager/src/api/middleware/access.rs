//! Who may call: users with their tokens, workers with the service token, and, where no login is
//! required, everybody on this machine as the user `local`.
//!
//! # Invariants
//! - A route behind [`authenticate`] is reached by a known user only; a handler that asks for
//!   [`CurrentUser`] and is not behind it refuses everybody.
//! - An invalid token is refused, also where none is needed.
//! - Nothing under `/internal` is reached without the service token. It is no user's, and no user's
//!   token is a worker's.
//!
//! By hand: `Authorization` of the crate `headers` reads the first of several headers, and
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

/// Who sent the request.
#[derive(Debug, Clone, Copy)]
pub struct CurrentUser {
    pub id: UserId,
    role: Role,
    /// The token's, where one was sent.
    pub session: Option<Session>,
}

impl CurrentUser {
    /// Whether the user may do what concerns the whole platform.
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

/// The request is an administrator's; `local` is one.
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

/// What tells who a request is from.
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
        let session = self.tokens.verify(token).ok_or(NOT_HOLDING)?;
        let role = self.roles.of(session).await?.ok_or(NOT_HOLDING)?;
        Ok(CurrentUser { id: session.user, role, session: Some(session) })
    }
}

const NOT_HOLDING: Error = Error::InvalidToken(
    "The token is invalid or has expired. Log in again with POST /v1/sessions.",
);

/// Lets a request through to its handler when it is known who sent it.
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
            // A client that uploads a file sees the answer then, and no broken connection.
            let body = request.into_body();
            if !body.is_end_stream() {
                linger(body.into_data_stream());
            }
            error.into_response()
        }
    }
}

/// The token of the `Authorization` header, where there is one.
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

/// The secret that workers show.
#[derive(Debug, Clone)]
pub struct ServiceToken(pub SecretString);

/// Lets a request through to its handler when a worker sent it.
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

/// Compares digests, so that the time it takes tells nothing of the secret.
fn is_same(shown: &str, expected: &str) -> bool {
    Sha256::digest(shown) == Sha256::digest(expected)
}
