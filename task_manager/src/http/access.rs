//! Who may call: this version serves one user, `local`, on this machine, and workers with the
//! service token.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use common::task::UserId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::ApiError;

/// The user of every request without a token. The id is fixed, so that tasks stay with their
/// owner across restarts.
pub const LOCAL_USER: UserId = UserId(Uuid::from_u128(0x6c6f_6361_6c00_4000_8000_0000_0000_0001));

/// Who sent the request.
#[derive(Debug, Clone, Copy)]
pub struct CurrentUser {
    pub id: UserId,
}

impl CurrentUser {
    /// Whether the user may see what belongs to others; `local` may.
    pub fn is_administrator(self) -> bool {
        self.id == LOCAL_USER
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            // There are no users yet, so no token of one can hold.
            return Err(ApiError::InvalidToken(
                "The token does not hold. Leave it out: no login is needed here.",
            ));
        }
        Ok(Self { id: LOCAL_USER })
    }
}

/// The request is an administrator's; `local` is one.
#[derive(Debug, Clone, Copy)]
pub struct Administrator;

impl<S: Send + Sync> FromRequestParts<S> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        CurrentUser::from_request_parts(parts, state).await.map(|_| Self)
    }
}

/// The secret that workers show.
#[derive(Debug, Clone)]
pub struct ServiceToken(pub SecretString);

/// The request is a worker's.
#[derive(Debug, Clone, Copy)]
pub struct Worker;

impl<S> FromRequestParts<S> for Worker
where
    S: Send + Sync,
    ServiceToken: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let expected = ServiceToken::from_ref(state);
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match shown.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) if is_same(token, expected.0.expose_secret()) => Ok(Self),
            _ => {
                Err(ApiError::InvalidToken("This request needs the service token of the workers."))
            }
        }
    }
}

/// Compares digests, so that the time it takes tells nothing of the secret.
fn is_same(shown: &str, expected: &str) -> bool {
    Sha256::digest(shown) == Sha256::digest(expected)
}
