//! The exclusive attempt of a lane: an attempt of a task that lost its worker more than once and is
//! suspected of killing workers.
//!
//! # Invariants
//! - An exclusive attempt is the only one that runs in its lane.
//! - A worker has at most one exclusive attempt, in either lane. Otherwise a task that kills its
//!   worker would also count a failure of another suspect each time, until both have failed.
//! - An exclusive attempt that cannot start soon is released, and the lane takes other tasks again.
//!   The time that it waits grows with each attempt, so that it runs eventually even if the lane is
//!   always busy.

use std::time::Duration;

use tokio::time::Instant;

use super::ClaimedAttempt;
use crate::processor::Interruption;

/// How long the first exclusive attempt of a task waits for its lane to be empty.
const PATIENCE: Duration = Duration::from_secs(3);
/// The number of the first attempt that can be exclusive: the one after two lost leases.
const FIRST_ATTEMPT: u32 = 3;
/// How many times the patience is doubled at most, to less than an hour.
const DOUBLINGS: u32 = 10;

/// See the module.
#[derive(Default)]
pub(super) struct Exclusive {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    /// Claimed, and waiting for the lane to be empty; the lane takes nothing.
    Waiting {
        start: Box<ClaimedAttempt>,
        until: Instant,
    },
    Running,
}

/// What to do with an exclusive attempt that waited.
pub(super) enum Action {
    /// Start it: the lane is empty.
    Start(ClaimedAttempt),
    /// Release it: the lane is busy for too long, or the lease has expired.
    Release(ClaimedAttempt),
    /// Discard it: the task manager has ended it.
    Discard(ClaimedAttempt),
}

impl Exclusive {
    /// Whether an exclusive attempt waits or runs.
    pub(super) fn is_taken(&self) -> bool {
        !matches!(self.state, State::None)
    }

    /// Keeps an attempt until the lane is empty.
    pub(super) fn wait(&mut self, start: ClaimedAttempt) {
        let until = Instant::now() + patience(start.key.attempt);
        self.state = State::Waiting { start: Box::new(start), until };
    }

    /// When the waiting attempt is released.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            State::None | State::Running => None,
        }
    }

    /// What to do with the waiting attempt now, if anything.
    pub(super) fn next(&mut self, lane_is_empty: bool) -> Option<Action> {
        let State::Waiting { start, until } = &self.state else { return None };
        let interruption = start.context.interruption();
        let is_late = *until <= Instant::now();
        if !(interruption.is_some() || lane_is_empty || is_late) {
            return None;
        }
        let start = self.take()?;
        Some(match interruption {
            Some(Interruption::LeaseExpired) => Action::Release(start),
            Some(_) => Action::Discard(start),
            None if lane_is_empty => {
                self.state = State::Running;
                Action::Start(start)
            }
            None => Action::Release(start),
        })
    }

    /// Removes the waiting attempt.
    pub(super) fn take(&mut self) -> Option<ClaimedAttempt> {
        match std::mem::take(&mut self.state) {
            State::Waiting { start, .. } => Some(*start),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Notes that the running attempt has ended.
    pub(super) fn ended(&mut self) {
        self.state = State::None;
    }
}

fn patience(attempt: u32) -> Duration {
    PATIENCE * (1 << attempt.saturating_sub(FIRST_ATTEMPT).min(DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_each_attempt_up_to_a_limit() {
        let seconds: Vec<_> =
            [1, 3, 4, 5, 1_000].map(|attempt| patience(attempt).as_secs()).to_vec();
        assert_eq!(seconds, [3, 3, 6, 12, 3_072]);
    }
}
