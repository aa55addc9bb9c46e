//! Retries of requests that create something, if their answer did not arrive.
//!
//! # Invariants
//! - Every attempt has the same Idempotency-Key, so that the server executes the request once.
//! - The attempts are bounded, and each is reported to the user.

use std::time::Duration;

use common::client::ClientError;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::console::note;

/// The most attempts of a request, and the pause before the second one, which doubles before each
/// further one.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The most attempts on a server that has never answered.
const CONNECTS: u32 = 3;
/// How long to wait for an earlier attempt that is still in progress: the lock of one whose server
/// died expires within 30 s.
const IN_PROGRESS_WAIT: Duration = Duration::from_secs(45);
const IN_PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Repeats {
    key: String,
    tries: u32,
    has_connected: bool,
    /// Since when an earlier attempt has been in progress.
    waiting: Option<Instant>,
}

impl Repeats {
    /// For a request that was not sent yet.
    pub(crate) fn new() -> Self {
        let key = Uuid::new_v4().to_string();
        Self { key, tries: 1, has_connected: false, waiting: None }
    }

    /// The Idempotency-Key of every attempt.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Waits until the request should be sent again; false if `error` is final.
    pub(crate) async fn again(&mut self, error: &ClientError) -> bool {
        let never_connected = matches!(error, ClientError::Unreachable { connected: false, .. });
        self.has_connected |= !never_connected;
        if !error.is_worth_repeating() {
            return false;
        }
        if error.is_in_progress() {
            if self.waiting.is_none() {
                note(
                    "An earlier attempt is still in progress on the server; waiting for its answer.",
                );
            }
            let since = *self.waiting.get_or_insert_with(Instant::now);
            sleep(IN_PROGRESS_PAUSE).await;
            return since.elapsed() < IN_PROGRESS_WAIT;
        }
        self.waiting = None;
        if self.tries >= if self.has_connected { TRIES } else { CONNECTS } {
            return false;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.tries - 1);
        self.tries += 1;
        let seconds = pause.as_secs_f64();
        let safely = match self.has_connected {
            true => ", with the same Idempotency-Key: it takes effect once",
            false => "",
        };
        note(&format!("{}\nTrying again in {seconds} s{safely}.", reason(error)));
        sleep(pause).await;
        true
    }
}

fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { server, reason, connected: true } => {
            format!("No answer from {server}: {reason}.")
        }
        ClientError::Unreachable { server, .. } => format!("No server answers at {server}."),
        ClientError::Problem(problem) => format!("{}: {}", problem.title, problem.detail),
        ClientError::Unexpected { .. } => error.to_string(),
    }
}
