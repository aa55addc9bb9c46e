//! Local work that Ctrl-C cancels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::failure::Failure;

/// How long cancelled work may take to notice. After that it is abandoned: it can only be waiting
/// for a pipe.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Signals work to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether the work must end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `work` until it is done or Ctrl-C is pressed. The caller owns the outputs of `work` and
/// deletes them on a failure, when the work may still be waiting for its input.
pub(crate) fn until_interrupted<T: Send + 'static>(
    work: impl FnOnce(&Cancel) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cannot_start = |error| Failure::local(format!("Cannot start: {error}."));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
    let cancel = Cancel::default();
    let worker = cancel.clone();
    let result = runtime.block_on(async move {
        let work = tokio::task::spawn_blocking(move || work(&worker));
        tokio::select! {
            done = work => done.unwrap_or_else(|panic| {
                Err(Failure::local(format!("This is a bug in the program: {panic}.")))
            }),
            Ok(()) = tokio::signal::ctrl_c() => {
                Err(Failure::interrupted("Interrupted; nothing was written."))
            }
        }
    });
    cancel.0.store(true, Ordering::Relaxed);
    runtime.shutdown_timeout(CANCEL_TIMEOUT);
    result
}
