//! The body of a request that sends a file or many documents, which may take hours.
//!
//! # Invariants
//! - It ends with an error if no byte arrives for the idle timeout.
//! - It ends with an error soon after the session of the request does, or its user may change
//!   nothing any more.

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::file::{ByteStream, IdleTimeout, incoming, until};
use crate::accounts::users::Role;
use crate::api::middleware::access::{Authenticator, CurrentUser};
use crate::api::session_end::session_end;
use crate::error::Error;

/// Reads the body of a request.
#[derive(Debug, Clone)]
pub struct Incoming {
    idle: IdleTimeout,
    authenticator: Authenticator,
    user: CurrentUser,
}

impl<S> FromRequestParts<S> for Incoming
where
    S: Send + Sync,
    IdleTimeout: FromRef<S>,
    Authenticator: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self {
            idle: IdleTimeout::from_ref(state),
            authenticator: Authenticator::from_ref(state),
            user: CurrentUser::from_request_parts(parts, state).await?,
        })
    }
}

impl Incoming {
    /// The bytes of the body.
    pub fn bytes(self, body: Body) -> ByteStream {
        let Self { idle, authenticator, user } = self;
        let bytes = incoming(body.into_data_stream(), idle.0);
        until(bytes, session_end(authenticator, user, |role| role != Role::Viewer))
    }
}
