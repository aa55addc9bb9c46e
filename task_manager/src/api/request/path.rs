//! The extractor of the task id in a path.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use common::task::TaskId;
use utoipa::IntoParams;

use crate::error::Error;
use crate::log_fields::log_task;

/// The task id of the path. A malformed id is answered like that of an unknown task.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct TaskPath(
    /// The task's id
    pub TaskId,
);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|path| path.0.parse().ok()).ok_or(Error::TaskNotFound)?;
        log_task(id);
        Ok(Self(id))
    }
}
