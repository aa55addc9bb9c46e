//! Why a processor did not complete its task. The error also decides what happens next.

use std::time::Duration;

use common::problem::Problem;
use common::storage::StorageError;
use serde_json::Value;

use super::Interrupted;

/// What happens to a task that was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is retried later.
    #[error("{}", reason.as_deref().unwrap_or("the processor asked for a delay"))]
    Retry {
        /// The minimum delay; if absent, the task manager's backoff.
        after: Option<Duration>,
        /// Where to resume.
        checkpoint: Option<Value>,
        /// The transient error, which counts as a failure; `None` if the processor just waits.
        reason: Option<String>,
    },
    /// It fails permanently.
    #[error("{0}")]
    Fail(Box<Problem>),
    /// The attempt was interrupted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ProcessError {
    /// A transient error: the task is retried from its last checkpoint.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, checkpoint: None, reason: Some(reason.into()) }
    }

    /// A transient error that is unlikely to pass before `after`.
    pub fn retry_after(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry { after: Some(after), checkpoint: None, reason: Some(reason.into()) }
    }

    /// Not an error: the task resumes from `checkpoint` after the delay.
    #[must_use]
    pub fn later(after: Duration, checkpoint: Value) -> Self {
        Self::Retry { after: Some(after), checkpoint: Some(checkpoint), reason: None }
    }

    /// A permanent error; `problem` becomes the task's `error`.
    #[must_use]
    pub fn fail(problem: Problem) -> Self {
        Self::Fail(Box::new(problem))
    }
}

/// Failures of the storage are transient: a full disk or a missing share may recover.
impl From<StorageError> for ProcessError {
    fn from(error: StorageError) -> Self {
        Self::retry(error.to_string())
    }
}
