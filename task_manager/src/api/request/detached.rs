//! Requests that are carried out to their end, whatever becomes of the client.

use tracing::{Instrument, Span, error};

use crate::error::Error;

/// Carries `work` out in a task of its own: the handler's future is dropped when the client goes
/// away. `what` names it in the log, should it panic.
///
/// # Errors
/// What `work` answers.
pub async fn to_the_end<T: Send + 'static>(
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
