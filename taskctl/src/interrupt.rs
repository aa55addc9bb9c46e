//! Ctrl-C: ends the program with a hint on what continues without it.

use std::future::Future;

use crate::failure::Failure;

/// Runs `work`; on Ctrl-C drops it and fails with `hint`.
pub(crate) async fn or_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    hint: impl FnOnce() -> String,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::interrupted(hint())),
    }
}
