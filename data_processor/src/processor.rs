//! The interface between the worker and a kind of task: a [`Processor`] that gets a [`Context`].
//!
//! # Invariants
//! - The value that a processor returns decides the task: completed, retried, failed or
//!   interrupted.
//! - A processor that calls [`Context::progress`] from time to time ends soon after a stop.
//! - A processor writes only the files of its own attempt, so it cannot overwrite another result.
//!
//! # Not here
//! Claims, leases and reports (`worker`); the processors themselves (`processors`).

mod context;
mod error;

pub use context::{Context, Interrupted, Interruption};
pub use error::ProcessError;

use common::report::Output;
use serde::Serialize;

/// Processes one kind of task.
pub trait Processor {
    /// The `result` of the task.
    type Output: Serialize;

    /// Processes the task.
    ///
    /// # Errors
    /// The task was not completed; the error says what happens to it.
    fn process(
        self,
        ctx: &Context,
    ) -> impl Future<Output = Result<Completed<Self::Output>, ProcessError>> + Send;
}

/// The outcome of a completed task.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed<T> {
    /// The `result` of the task.
    pub result: T,
    /// The finished output files; `None` if the kind has no output.
    pub output: Option<Output>,
}
