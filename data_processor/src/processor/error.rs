//! Why a processor did not complete its task, which is also what happens next.

use std::time::Duration;

use common::problem::Problem;
use common::storage::StorageError;
use serde_json::Value;

use super::Interrupted;

/// What is to be done with a task that was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is run again later.
    #[error("{}", reason.as_deref().unwrap_or("the processor asked for a delay"))]
    Retry {
        /// How long to wait at least; the task manager's backoff where absent.
        after: Option<Duration>,
        /// Where to go on.
        checkpoint: Option<Value>,
        /// The error that may pass, which is counted; none where the processor just waits.
        reason: Option<String>,
    },
    /// It has failed for good.
    #[error("{0}")]
    Fail(Box<Problem>),
    /// It ended since its attempt was interrupted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ProcessError {
    /// An error that may pass: the task is run again from its last checkpoint.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, checkpoint: None, reason: Some(reason.into()) }
    }

    /// An error that may pass, but hardly before `after`.
    pub fn retry_after(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry { after: Some(after), checkpoint: None, reason: Some(reason.into()) }
    }

    /// No error: the task goes on from `checkpoint` when `after` has passed.
    #[must_use]
    pub fn later(after: Duration, checkpoint: Value) -> Self {
        Self::Retry { after: Some(after), checkpoint: Some(checkpoint), reason: None }
    }

    /// An error that stays; `problem` becomes the task's `error`.
    #[must_use]
    pub fn fail(problem: Problem) -> Self {
        Self::Fail(Box::new(problem))
    }
}

/// Disks fill up and shares vanish, and they come back.
impl From<StorageError> for ProcessError {
    fn from(error: StorageError) -> Self {
        Self::retry(error.to_string())
    }
}
