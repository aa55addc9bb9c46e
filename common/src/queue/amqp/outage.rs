//! The times when the broker is away: when to try again, and what the log says.

use std::time::Duration;

use lapin::ErrorKind;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{PATIENCE, Place};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Knows whether the broker is away, so that the log says it once and not at every try.
#[derive(Debug)]
pub(super) struct Outage {
    place: Place,
    /// What cannot be done meanwhile.
    work: &'static str,
    is_away: bool,
    pause: Duration,
    back_since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(place: Place, work: &'static str) -> Self {
        Self { place, work, is_away: false, pause: SHORTEST_PAUSE, back_since: None }
    }

    /// The broker does not work, because of `reason`. Answers when to try again.
    pub(super) fn goes_on(&mut self, reason: &str) -> Duration {
        if !self.is_away {
            let (address, work) = (&self.place.address, self.work);
            warn!("the message broker at {address} is away, {work} waits for it: {reason}");
            self.is_away = true;
        }
        // A broker that leaves again at once is not asked more often than one that is silent.
        if self.back_since.take().is_some_and(|since| since.elapsed() > LONGEST_PAUSE) {
            self.pause = SHORTEST_PAUSE;
        }
        let pause = self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// The broker works.
    pub(super) fn is_over(&mut self) {
        if self.is_away {
            info!("the message broker at {} is back: {} goes on", self.place.address, self.work);
            self.is_away = false;
        }
        self.back_since = Some(Instant::now());
    }
}

/// What went wrong, without the library's name for the kind of error.
pub(super) fn in_words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// What is said about a broker that is silent.
pub(super) fn no_answer() -> String {
    format!("no answer within {} seconds", PATIENCE.as_secs())
}
