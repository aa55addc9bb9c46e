//! What a kind of task is to the worker: a [`Processor`] that is given a [`Context`].
//!
//! # Invariants
//! - What a processor returns is the whole decision: done, again later, failed, or interrupted.
//! - A processor that calls [`Context::progress`] every now and then ends soon after a stop.
//! - It writes only to its own attempt's files, so it overwrites nobody's result.
//!
//! # Not here
//! Claims, leases and reports (`worker`); which kind is processed by what (`processors`).

mod context;
mod error;

pub use context::{Context, Interrupted, Interruption};
pub use error::ProcessError;

use common::report::Output;
use serde::Serialize;

/// Processes one kind of task.
pub trait Processor {
    /// What comes out; it becomes the task's `result`.
    type Output: Serialize;

    /// Processes the task.
    ///
    /// # Errors
    /// What is to be done with the task instead.
    fn process(
        self,
        ctx: &Context,
    ) -> impl Future<Output = Result<Completed<Self::Output>, ProcessError>> + Send;
}

/// What a processor hands over when it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed<T> {
    /// Becomes the task's `result`.
    pub result: T,
    /// The files that were made and finished, where the kind makes any.
    pub output: Option<Output>,
}
