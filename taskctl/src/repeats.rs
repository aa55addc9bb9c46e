//! Requests that create something, sent again where their answer did not arrive.
//!
//! # Invariants
//! - Every try carries the same Idempotency-Key, so that the server carries the request out once.
//! - The tries are bounded, and the user is told of each.

use std::time::Duration;

use common::client::ClientError;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::console::note;

/// How often a request is sent at most, and how long to wait before the second try; before every
/// further one twice as long.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a server is addressed that has never answered.
const CONNECTS: u32 = 3;
/// How long to wait for an earlier try that the server has not finished: the lock of one whose server
/// died expires within 30 s.
const UNDER_WAY: Duration = Duration::from_secs(45);
const UNDER_WAY_PAUSE: Duration = Duration::from_secs(1);

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Repeats {
    key: String,
    tries: u32,
    has_connected: bool,
    /// Since when an earlier try is under way.
    waiting: Option<Instant>,
}

impl Repeats {
    /// Of a request that was not sent yet.
    pub(crate) fn new() -> Self {
        let key = Uuid::new_v4().to_string();
        Self { key, tries: 1, has_connected: false, waiting: None }
    }

    /// What every try carries as its Idempotency-Key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Waits until the request is to be sent again; false where `error` is its end.
    pub(crate) async fn again(&mut self, error: &ClientError) -> bool {
        let never_connected = matches!(error, ClientError::Unreachable { connected: false, .. });
        self.has_connected |= !never_connected;
        if !error.is_worth_repeating() {
            return false;
        }
        if error.is_in_progress() {
            if self.waiting.is_none() {
                note("An earlier try is still in progress on the server; waiting for its answer.");
            }
            let since = *self.waiting.get_or_insert_with(Instant::now);
            sleep(UNDER_WAY_PAUSE).await;
            return since.elapsed() < UNDER_WAY;
        }
        self.waiting = None;
        if self.tries >= if self.has_connected { TRIES } else { CONNECTS } {
            return false;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.tries - 1);
        self.tries += 1;
        let seconds = pause.as_secs_f64();
        let safely = match self.has_connected {
            true => ", with the same Idempotency-Key: it is carried out once",
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
