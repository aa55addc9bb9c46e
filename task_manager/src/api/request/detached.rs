//! Requests that are completed even if the client disconnects.

use tracing::{Instrument, Span, error};

use crate::error::Error;

/// Runs `work` in its own async task, because the handler's future is dropped when the client
/// disconnects. `what` names it in the log if it panics.
///
/// # Errors
/// `work` fails or panics.
pub async fn run_detached<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work.instrument(Span::current())).await {
        Ok(answer) => answer,
        Err(error) => {
            error!(%error, "{what} ended unexpectedly");
            Err(Error::Internal)
        }
    }
}
