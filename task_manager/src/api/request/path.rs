//! The extractors of the ids in paths. A malformed id is answered like an unknown one.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use common::task::TaskId;
use utoipa::IntoParams;

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
    let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
    let id = path.ok()?.0.parse().ok()?;
    log_task(id);
    Some(id)
}
