//! Why a processor did not complete its task. The error also decides what happens next.

use std::time::Duration;

use common::problem::Problem;
use common::storage::{StorageError, is_out_of_space};
use serde_json::Value;

use super::Interrupted;

/// How long a task waits for free space before it is tried again.
const SPACE_RETRY: Duration = Duration::from_secs(30);

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
    /// It is retried later, and no failure is counted: something outside of it is missing.
    #[error("{what}")]
    Wait {
        /// The minimum delay.
        after: Duration,
        /// What is missing.
        what: String,
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

impl ProcessError {
    /// A transient error of the storage, or of a temporary file. A full disk is no failure of the
    /// task, so it waits for space as long as it takes.
    #[must_use]
    pub fn of_storage(error: &(dyn std::error::Error + 'static)) -> Self {
        match is_out_of_space(error) {
            true => Self::wait_for_space(error),
            false => Self::retry(error.to_string()),
        }
    }

    /// A disk or a quota has no space left.
    pub fn wait_for_space(error: &(impl std::fmt::Display + ?Sized)) -> Self {
        Self::Wait { after: SPACE_RETRY, what: format!("no space left: {error}") }
    }
}

/// Failures of the storage are transient: a full disk or a missing share may recover.
impl From<StorageError> for ProcessError {
    fn from(error: StorageError) -> Self {
        Self::of_storage(&error)
    }
}
