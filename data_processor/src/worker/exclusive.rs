//! The exclusive attempt of a lane: one whose task has lost its worker more than once, and is
//! suspected of killing workers.
//!
//! # Invariants
//! - An exclusive attempt is the only one that its lane runs.
//! - A worker has one exclusive attempt at a time, whichever the lane: so a task that kills its worker
//!   takes no other suspect with it, again and again until both have failed.
//! - What cannot start soon is given back, and the lane takes other tasks again. The patience grows
//!   with each attempt, so that a lane that is always busy has it run in the end.

use std::time::Duration;

use tokio::time::Instant;

use super::Start;
use crate::processor::Interruption;

/// How long the first exclusive attempt of a task waits for the lane to be empty.
const PATIENCE: Duration = Duration::from_secs(3);
/// The number of the attempt behind the second lost lease: the first one that can be exclusive.
const FIRST_ATTEMPT: u32 = 3;
/// The patience is doubled this often at most, to less than an hour.
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
    /// Claimed; the lane takes nothing until it is empty.
    Waiting {
        start: Box<Start>,
        until: Instant,
    },
    Running,
}

/// What is to become of an exclusive attempt that waited.
pub(super) enum Next {
    /// It runs.
    Start(Start),
    /// The lane is busy for too long, or the task manager silent.
    GiveBack(Start),
    /// The task manager has ended it.
    Forget(Start),
}

impl Exclusive {
    /// Whether there is one.
    pub(super) fn is_taken(&self) -> bool {
        !matches!(self.state, State::None)
    }

    /// Has an attempt wait for the lane to be empty.
    pub(super) fn wait(&mut self, start: Start) {
        let until = Instant::now() + patience(start.key.attempt);
        self.state = State::Waiting { start: Box::new(start), until };
    }

    /// When the one that waits is given back.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            State::None | State::Running => None,
        }
    }

    /// What to do with the one that waits, where there is something to do.
    pub(super) fn next(&mut self, lane_is_empty: bool) -> Option<Next> {
        let State::Waiting { start, until } = &self.state else { return None };
        let interruption = start.context.interruption();
        let is_late = *until <= Instant::now();
        if !(interruption.is_some() || lane_is_empty || is_late) {
            return None;
        }
        let start = self.take()?;
        Some(match interruption {
            Some(Interruption::Silence) => Next::GiveBack(start),
            Some(_) => Next::Forget(start),
            None if lane_is_empty => {
                self.state = State::Running;
                Next::Start(start)
            }
            None => Next::GiveBack(start),
        })
    }

    /// The one that waits, which waits no more.
    pub(super) fn take(&mut self) -> Option<Start> {
        match std::mem::take(&mut self.state) {
            State::Waiting { start, .. } => Some(*start),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The one that ran has ended.
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
    fn patience_grows_with_each_attempt_and_has_an_end() {
        let seconds: Vec<_> =
            [1, 3, 4, 5, 1_000].map(|attempt| patience(attempt).as_secs()).to_vec();
        assert_eq!(seconds, [3, 3, 6, 12, 3_072]);
    }
}
