//! Outages of the broker: when to retry, and what to log.

use std::time::Duration;

use lapin::ErrorKind;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{BrokerTarget, PATIENCE};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Remembers whether the broker is down, so that an outage is logged once and not at every attempt.
#[derive(Debug)]
pub(super) struct Outage {
    target: BrokerTarget,
    /// The work that is blocked, for the log.
    work: &'static str,
    is_down: bool,
    pause: Duration,
    up_since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(target: BrokerTarget, work: &'static str) -> Self {
        Self { target, work, is_down: false, pause: SHORTEST_PAUSE, up_since: None }
    }

    /// The broker failed because of `reason`; returns how long to wait before the next attempt.
    pub(super) fn retry_in(&mut self, reason: &str) -> Duration {
        if !self.is_down {
            let (address, work) = (&self.target.address, self.work);
            warn!("the message broker at {address} is down, {work} waits for it: {reason}");
            self.is_down = true;
        }
        // A broker that fails again immediately is not tried more often than a silent one.
        if self.up_since.take().is_some_and(|since| since.elapsed() > LONGEST_PAUSE) {
            self.pause = SHORTEST_PAUSE;
        }
        let pause = self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// The broker works again.
    pub(super) fn has_ended(&mut self) {
        if self.is_down {
            info!(
                "the message broker at {} is up again, {} continues",
                self.target.address, self.work
            );
            self.is_down = false;
        }
        self.up_since = Some(Instant::now());
    }
}

/// The message of an error, without the library's name for its kind.
pub(super) fn in_words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// The error for a broker that does not answer.
pub(super) fn no_answer() -> String {
    format!("no answer within {} seconds", PATIENCE.as_secs())
}
