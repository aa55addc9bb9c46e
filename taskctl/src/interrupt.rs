//! Ctrl-C: ends the program with words on what goes on without it.

use std::future::Future;

use crate::failure::Failure;

/// Does `work`; on Ctrl-C drops it and fails with the words of `hint`.
pub(crate) async fn or_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    hint: impl FnOnce() -> String,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::interrupted(hint())),
    }
}
