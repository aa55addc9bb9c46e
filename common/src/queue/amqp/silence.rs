//! Which queues are deaf: the broker lists them, takes messages for them and never confirms one,
//! and never lets anybody read them.
//!
//! RabbitMQ 3.10 keeps the names of the logs of its quorum queues in a file that it writes every
//! three minutes. Killed before that, it starts a new queue again with another, empty log and
//! without a leader, which none will ever be chosen for. Declaring it succeeds; only deleting it
//! helps. Nothing is lost with it: messages are wake-ups, and the database dispatches again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use tokio::time::timeout;
use tracing::warn;

use super::Place;
use super::link::{Link, declare};
use super::outage::{in_words, no_answer};
use crate::task::TaskKind;

/// How many times in a row, each on a connection of its own, a queue must stay silent. With a
/// patience of five seconds that is more than a busy disk or the choice of a leader takes.
const TRIES: u32 = 4;
/// How long the broker has to delete a queue: it first waits 5 seconds for the queue itself.
const DELETION: Duration = Duration::from_secs(15);

/// Counts how often queues were silent since they were heard last.
#[derive(Debug, Default)]
pub(super) struct Silences(Mutex<HashMap<TaskKind, u32>>);

impl Silences {
    fn counts(&self) -> MutexGuard<'_, HashMap<TaskKind, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of `kind` answered, or is a new one.
    pub(super) fn heard(&self, kind: TaskKind) {
        self.counts().remove(&kind);
    }

    /// The queue of `kind` confirmed nothing of a batch, or did not let itself be read.
    pub(super) fn silent(&self, kind: TaskKind) {
        *self.counts().entry(kind).or_default() += 1;
    }

    /// Makes the deaf queues anew.
    ///
    /// # Errors
    /// Why that is not possible now.
    pub(super) async fn replace_deaf_queues(
        &self,
        link: &Arc<Link>,
        place: &Place,
    ) -> Result<(), String> {
        for kind in self.deaf() {
            let queue = place.queue_name(kind);
            warn!("the queue {queue} is silent: it is deleted and made anew");
            let replacement = async {
                let channel = link.channel().await?;
                let options = QueueDeleteOptions::default();
                channel.queue_delete(queue.as_str().into(), options).await?;
                declare(&channel, &queue).await
            };
            match timeout(DELETION, replacement).await {
                Ok(replaced) => replaced.map_err(|error| in_words(&error))?,
                Err(_) => return Err(no_answer()),
            }
            self.heard(kind);
        }
        Ok(())
    }

    /// The kinds whose queues do not hear.
    fn deaf(&self) -> Vec<TaskKind> {
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
