//! Which queues are deaf: the broker lists them, takes messages for them and never confirms one.
//!
//! RabbitMQ 3.10 keeps the names of the logs of its quorum queues in a file that it writes every
//! three minutes. Killed before that, it starts a new queue again with another, empty log and
//! without a leader, which none will ever be chosen for. Declaring it succeeds; only deleting it
//! helps. Nothing is lost with it: messages are wake-ups, and the database dispatches again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::task::TaskKind;

/// How many batches in a row, each on a connection of its own, must stay without any confirm. With
/// a patience of five seconds that is more than a busy disk or the choice of a leader takes.
const TRIES: u32 = 4;

/// Counts the batches without a confirm since the last one with some.
#[derive(Debug, Default)]
pub(super) struct Silences(Mutex<HashMap<TaskKind, u32>>);

impl Silences {
    fn counts(&self) -> MutexGuard<'_, HashMap<TaskKind, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of `kind` confirmed a message, or is a new one.
    pub(super) fn heard(&self, kind: TaskKind) {
        self.counts().remove(&kind);
    }

    /// The queue of `kind` let a whole batch go without a confirm.
    pub(super) fn silent(&self, kind: TaskKind) {
        *self.counts().entry(kind).or_default() += 1;
    }

    /// The kinds whose queues do not hear.
    pub(super) fn deaf(&self) -> Vec<TaskKind> {
        self.counts()
            .iter()
            .filter(|(_, silences)| **silences >= TRIES)
            .map(|(kind, _)| *kind)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_deaf_after_some_silent_batches_in_a_row() {
        let (kind, other) = (TaskKind::ALL[0], TaskKind::ALL[TaskKind::ALL.len() - 1]);
        let silences = Silences::default();
        for _ in 0..TRIES - 1 {
            silences.silent(kind);
        }
        silences.heard(kind);
        for _ in 0..TRIES - 1 {
            silences.silent(kind);
        }
        assert!(silences.deaf().is_empty(), "a confirm came in between");
        silences.silent(kind);
        assert_eq!(silences.deaf(), [kind]);
        if other != kind {
            silences.heard(other);
            assert_eq!(silences.deaf(), [kind]);
        }
        silences.heard(kind);
        assert!(silences.deaf().is_empty());
    }
}
