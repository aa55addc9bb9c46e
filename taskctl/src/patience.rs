//! Decides whether and when a transfer that failed is tried again.
//!
//! # Invariants
//! - The time runs from the first failure after the last progress, so a slow transfer is never
//!   given up, however long it takes.
//! - The pauses double up to half a minute, and are random within a range: after an outage, clients
//!   do not all return at the same moment.

use std::time::Duration;

use common::client::ClientError;
use common::random::Random;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::progress::TransferBar;

/// How long a transfer is tried again without progress, unless another limit was requested.
const LIMIT: Duration = Duration::from_mins(10);
/// The longest pause after the first failure, the second one, and any later one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const SECOND_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The most attempts on a server that has never answered: its address may be wrong.
const CONNECTS: u32 = 3;

/// How long to try again.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct GiveUp {
    /// Give up when there was no progress for this long, for example `30s` or `2h`. By default
    /// `10m`, or after three attempts if no server has ever answered.
    #[arg(long = "give-up-after", value_name = "DURATION", value_parser = duration)]
    limit: Option<Duration>,
}

/// Parses a duration such as `30s` or `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error} (for example 30s, 10m or 2h)"))
}

/// The attempts of one transfer.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    random: Random,
    /// The number of failures since the last progress, and the time of the first one.
    failures: u32,
    since: Option<Instant>,
    has_connected: bool,
    has_noted: bool,
}

/// A transfer that is not tried again: why its last attempt failed.
#[derive(Debug)]
pub(crate) struct GivenUp {
    /// The last failure.
    pub(crate) error: ClientError,
    /// How long there was no progress.
    pub(crate) after: Duration,
}

impl Patience {
    /// For a transfer that has not begun.
    pub(crate) fn new(give_up: GiveUp) -> Self {
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        Self {
            limit: give_up.limit,
            random: Random::new(seed),
            failures: 0,
            since: None,
            has_connected: false,
            has_noted: false,
        }
    }

    /// For a transfer that an earlier command began: its server has answered before.
    pub(crate) fn continued(give_up: GiveUp) -> Self {
        Self { has_connected: true, ..Self::new(give_up) }
    }

    /// The transfer has advanced.
    pub(crate) fn progressed(&mut self) {
        self.has_connected = true;
        self.failures = 0;
        self.since = None;
    }

    /// Waits until the next attempt, and says so on `bar`.
    ///
    /// # Errors
    /// It was tried for long enough.
    pub(crate) async fn pause(
        &mut self,
        error: ClientError,
        bar: &TransferBar,
    ) -> Result<(), GivenUp> {
        let pause = self.next_pause(&error, Instant::now());
        let Some(pause) = pause else {
            let after = self.since.map(|since| since.elapsed()).unwrap_or_default();
            return Err(GivenUp { error, after });
        };
        if bar.is_hidden() && (!self.has_noted || self.failures > 1) {
            self.has_noted = true;
            bar.note(&format!("{}; {}.", reason(&error), waiting(pause, self.failures)));
        }
        bar.wait(pause, self.failures);
        sleep(pause).await;
        Ok(())
    }

    /// The pause after a failure at `now`; `None` if it was tried for long enough.
    fn next_pause(&mut self, error: &ClientError, now: Instant) -> Option<Duration> {
        self.has_connected |= !matches!(error, ClientError::Unreachable { connected: false, .. });
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        if self.limit.is_none() && !self.has_connected && self.failures >= CONNECTS {
            return None;
        }
        let left = self.limit.unwrap_or(LIMIT).saturating_sub(now - since);
        if left.is_zero() {
            return None;
        }
        let longest = match self.failures {
            1 => FIRST_PAUSE,
            later => {
                SECOND_PAUSE.saturating_mul(2_u32.saturating_pow(later - 2)).min(LONGEST_PAUSE)
            }
        };
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(longest / 2 + self.random.below(longest / 2 + 1));
        // The last attempt is made when the time is up.
        Some(pause.min(left))
    }
}

/// Words on the next attempt; after one failure it follows immediately.
pub(crate) fn waiting(pause: Duration, failures: u32) -> String {
    let seconds = pause.as_secs_f64().ceil();
    match failures {
        0 | 1 => "reconnecting".to_owned(),
        _ if pause.is_zero() => format!("reconnecting (attempt {})", failures + 1),
        _ => format!("reconnecting in {seconds} s (attempt {})", failures + 1),
    }
}

/// Why an attempt failed, as a sentence without its full stop.
fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { server, reason, connected: true } => {
            format!("The connection to {server} broke: {reason}")
        }
        ClientError::Unreachable { server, .. } => format!("No server answers at {server}"),
        ClientError::Problem(problem) => {
            format!("{}: {}", problem.title, problem.detail.trim_end_matches('.'))
        }
        ClientError::Unexpected { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(connected: bool) -> ClientError {
        let (server, reason) = ("http://x".to_owned(), "cut".to_owned());
        ClientError::Unreachable { server, reason, connected }
    }

    fn patience(limit: Option<Duration>) -> Patience {
        Patience::new(GiveUp { limit })
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_vary() {
        let mut patience = patience(None);
        let now = Instant::now();
        for longest in [0.1, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let pause = patience.next_pause(&broken(true), now).unwrap().as_secs_f64();
            assert!(pause >= longest / 2.0 && pause <= longest, "{pause} of {longest}");
        }
        let pauses: Vec<_> =
            (0..20).map(|_| patience.next_pause(&broken(true), now).unwrap()).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "every client returns together");
    }

    #[test]
    fn only_time_without_progress_counts() {
        let minute = Duration::from_secs(60);
        let mut patience = patience(Some(minute));
        let start = Instant::now();
        assert!(patience.next_pause(&broken(true), start).is_some());
        assert!(patience.next_pause(&broken(true), start + minute / 2).is_some());
        patience.progressed();
        // However long the transfer took before it broke again.
        let later = start + 100 * minute;
        assert!(patience.next_pause(&broken(true), later).is_some());
        let almost = later + minute - Duration::from_millis(1);
        assert_eq!(patience.next_pause(&broken(true), almost), Some(Duration::from_millis(1)));
        assert_eq!(patience.next_pause(&broken(true), later + minute), None);
    }

    #[test]
    fn a_server_that_never_answered_is_given_up_soon_unless_told_otherwise() {
        let now = Instant::now();
        let mut default = patience(None);
        let pauses: Vec<_> = (0..3).map(|_| default.next_pause(&broken(false), now)).collect();
        assert!(pauses[0].is_some() && pauses[1].is_some() && pauses[2].is_none(), "{pauses:?}");

        let told = patience(Some(Duration::from_secs(60)));
        for mut patience in [told, Patience::continued(GiveUp::default())] {
            for _ in 0..5 {
                assert!(patience.next_pause(&broken(false), now).is_some());
            }
        }
    }

    #[test]
    fn zero_means_never_again() {
        let mut patience = patience(Some(Duration::ZERO));
        assert_eq!(patience.next_pause(&broken(true), Instant::now()), None);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        assert!(duration("ten").unwrap_err().contains("for example 30s"));
    }
}
