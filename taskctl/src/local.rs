//! What the commands that work on this machine have in common: they write one file and end well, or
//! leave nothing behind and say why.

mod destination;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use self::destination::{Destination, Part};

/// How long work that was cancelled may take to notice. It is left alone then: it can only be
/// waiting for a pipe.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// How a command ends that could not do what it was asked, and the words for standard error.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// This machine could not do its part, or the task failed.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command cannot work as it was called (clap ends with the same code).
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Ctrl-C; the code is the one of shells.
    fn interrupted() -> Self {
        Self { code: 130, text: "Interrupted; nothing was written.".to_owned() }
    }

    /// Says it and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        note(&self.text);
        ExitCode::from(self.code)
    }
}

/// Words for people, on standard error.
pub(crate) fn note(text: &str) {
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Tells work that it is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether the work is to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does `work`, until it is done or Ctrl-C is pressed. What `work` writes to belongs to the caller,
/// who deletes it on a failure: the work may still be waiting for its input then.
pub(crate) fn until_interrupted<T: Send + 'static>(
    work: impl FnOnce(&Cancel) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cannot_start = |error| Failure::failed(format!("Cannot start: {error}."));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
    let cancel = Cancel::default();
    let worker = cancel.clone();
    let result = runtime.block_on(async move {
        let work = tokio::task::spawn_blocking(move || work(&worker));
        tokio::select! {
            done = work => done.unwrap_or_else(|panic| {
                Err(Failure::failed(format!("This is a defect of the program: {panic}.")))
            }),
            Ok(()) = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
        }
    });
    cancel.0.store(true, Ordering::Relaxed);
    runtime.shutdown_timeout(CANCEL_TIMEOUT);
    result
}
