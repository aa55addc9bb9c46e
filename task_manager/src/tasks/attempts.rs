//! The history of attempts. An attempt gets an entry when it ends; while it runs, it is part of its
//! task.
//!
//! # Not here
//! Deciding how an attempt ends (`lifecycle`).

mod end;
mod store;

pub use end::AttemptEnd;
pub use store::{EndedAttempt, PastAttempt, add, latest, outcome, with_lost_lease};

use std::str::FromStr;

use common::report::Outcome;
use common::task::{TaskState, UnknownName, named};
use serde::Serialize;
use utoipa::ToSchema;

use super::Task;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// With a result.
    Completed,
    /// With an error that a retry cannot fix.
    Failed,
    /// With a temporary error, or a delay that the task asked for.
    Retry,
    /// Its worker returned the task, for example to shut down.
    Released,
    /// Its worker went silent.
    LeaseLost,
    /// A user stopped the task.
    Stopped,
    /// A user killed the task.
    Killed,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Failed,
        Self::Retry,
        Self::Released,
        Self::LeaseLost,
        Self::Stopped,
        Self::Killed,
    ];

    /// Final reports have the same names, so that a repeated one is recognized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retry => "retry",
            Self::Released => "released",
            Self::LeaseLost => "lease_lost",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        }
    }
}

impl FromStr for AttemptOutcome {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// The outcome for an attempt that has lost the fence.
pub fn lost_fence(task: &Task, attempt: u32) -> Outcome {
    let is_latest = task.attempt == attempt;
    match task.state {
        TaskState::Stopping | TaskState::Stopped if is_latest => Outcome::Stop,
        TaskState::Killed if is_latest => Outcome::Kill,
        _ => Outcome::LeaseLost,
    }
}
