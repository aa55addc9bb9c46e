//! The extractors of the ids in paths. A malformed id is answered like an unknown one.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use common::task::{TaskId, UserId};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::error::Error;
use crate::log_fields::log_task;

/// The task id of the path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct TaskPath(
    /// The task's id
    pub TaskId,
);

/// The upload id of the path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct UploadPath(
    /// The upload's id
    pub TaskId,
);

/// The session id of the path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct SessionPath(
    /// The session's id
    pub Uuid,
);

/// The key id of the path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct KeyPath(
    /// The key's id
    pub Uuid,
);

/// The ids of a user and a key of that user, in the path.
#[derive(IntoParams)]
#[into_params(names("user_id", "id"), parameter_in = Path)]
pub struct UserKeyPath(
    /// The user's id
    #[param(value_type = Uuid)]
    pub UserId,
    /// The key's id
    pub Uuid,
);

/// The user id of the path.
#[derive(IntoParams)]
#[into_params(names("user_id"), parameter_in = Path)]
pub struct UserPath(
    /// The user's id
    #[param(value_type = Uuid)]
    pub UserId,
);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        parse(parts, state).await.map(Self).ok_or(Error::SessionNotFound)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        parse(parts, state).await.map(Self).ok_or(Error::KeyNotFound)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserKeyPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = axum::extract::Path::<(Uuid, Uuid)>::from_request_parts(parts, state).await;
        let (user, key) = path.map_err(|_| Error::KeyNotFound)?.0;
        Ok(Self(UserId(user), key))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        parse(parts, state).await.map(UserId).map(Self).ok_or(Error::UserNotFound)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        id_of(parts, state).await.map(Self).ok_or(Error::TaskNotFound)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UploadPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        id_of(parts, state).await.map(Self).ok_or(Error::UploadNotFound)
    }
}

/// The id of the path, which is logged with the request.
async fn id_of<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<TaskId> {
    let id = parse(parts, state).await?;
    log_task(id);
    Some(id)
}

async fn parse<T: FromStr, S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<T> {
    let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
    path.ok()?.0.parse().ok()
}
