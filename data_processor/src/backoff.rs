//! The delay before a failed call is retried.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 100 ms to 2 s, with jitter, so that the workers of a fleet do not all retry at the
/// same time.
#[derive(Debug)]
pub(crate) struct Backoff {
    delay: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { delay: FIRST }
    }

    /// The next delay.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay.mul_f64(rand::random_range(0.5..1.0));
        self.delay = (self.delay * 2).min(LONGEST);
        delay
    }
}
