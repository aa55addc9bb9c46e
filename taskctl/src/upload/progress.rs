//! The progress of a resumable upload, on one bar for all its parts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::client::ClientError;
use common::clock::now;
use indicatif::{HumanBytes, HumanDuration};

use super::input::Input;
use super::label;
use crate::failure::Failure;
use crate::patience::{GivenUp, Patience};
use crate::progress::TransferBar;

/// See the module; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: TransferBar,
    size: u64,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many bytes of each part were sent, and of all of them.
    parts: Mutex<Vec<u64>>,
    sent: AtomicU64,
    has_begun: AtomicBool,
    /// Whether a later command can continue the upload.
    is_remembered: AtomicBool,
    /// How long the server keeps it after its last byte, if it says so.
    lifetime: Mutex<Option<Duration>>,
}

impl Progress {
    /// Of an upload that sends nothing yet.
    pub(super) fn prepare(input: &Input) -> Self {
        let bar = TransferBar::prepare(&label(input));
        Self { bar, size: input.size(), state: Arc::default() }
    }

    /// Notes whether a later command can continue the upload.
    pub(super) fn remember(&self, is_remembered: bool) {
        self.state.is_remembered.store(is_remembered, Ordering::Relaxed);
    }

    /// The server keeps the upload until then if no more bytes arrive.
    pub(super) fn kept_until(&self, expires_at: Option<DateTime<Utc>>) {
        if let Some(lifetime) = expires_at.and_then(|end| (end - now()).to_std().ok()) {
            *lock(&self.state.lifetime) = Some(lifetime);
        }
    }

    /// The parts start behind `offsets` bytes.
    pub(super) fn start(&self, offsets: &[u64]) {
        *lock(&self.state.parts) = offsets.to_vec();
        let sent = offsets.iter().sum();
        self.state.sent.store(sent, Ordering::Relaxed);
        self.state.has_begun.store(true, Ordering::Relaxed);
        self.bar.start_at(sent, Some(self.size));
    }

    /// So many bytes of a part were sent.
    pub(super) fn at(&self, part: usize, bytes: u64) {
        let mut parts = lock(&self.state.parts);
        if let Some(part) = parts.get_mut(part) {
            *part = bytes;
        }
        let sent = parts.iter().sum();
        self.state.sent.store(sent, Ordering::Relaxed);
        self.bar.at(sent);
    }

    /// Prints a message.
    pub(super) fn note(&self, text: &str) {
        self.bar.note(text);
    }

    /// Changes the label.
    pub(super) fn rename(&self, what: &'static str) {
        self.bar.rename(what);
    }

    /// Waits after a failure.
    pub(super) async fn pause(
        &self,
        error: ClientError,
        patience: &mut Patience,
    ) -> Result<(), GivenUp> {
        patience.pause(error, &self.bar).await
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish();
    }

    /// How far the upload came.
    fn position(&self) -> String {
        let sent = self.state.sent.load(Ordering::Relaxed);
        format!("{} of {}", HumanBytes(sent), HumanBytes(self.size))
    }

    /// A sentence on how to continue.
    pub(super) fn advice(&self) -> String {
        match *lock(&self.state.lifetime) {
            _ if !self.state.is_remembered.load(Ordering::Relaxed) => "Upload it again.".to_owned(),
            Some(lifetime) => {
                format!("The same command continues it within {}.", HumanDuration(lifetime))
            }
            None => "The same command continues it.".to_owned(),
        }
    }

    /// What to say on Ctrl-C.
    pub(super) fn interruption(&self) -> String {
        format!("The upload was interrupted after {}. {}", self.position(), self.advice())
    }

    /// The failure of an upload that is not tried again.
    pub(super) fn failure(&self, given_up: GivenUp) -> Failure {
        match given_up.error {
            ClientError::Unreachable { server, reason, .. }
                if self.state.has_begun.load(Ordering::Relaxed) =>
            {
                Failure::lost(format!(
                    "The connection to {server} broke after {}, and there was no progress for {}: \
                     {reason}.",
                    self.position(),
                    HumanDuration(given_up.after),
                ))
            }
            error => error.into(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
