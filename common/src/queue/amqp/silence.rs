//! Which queues are deaf: the broker lists them, takes messages for them and never confirms one,
//! and never lets anybody read them.
//!
//! RabbitMQ 3.10 keeps the names of the logs of its quorum queues in a file that it writes every
//! three minutes. Killed before that, it starts a new queue again with another, empty log and
//! without a leader, which none will ever be chosen for. Declaring it succeeds; only deleting it
//! helps. Nothing is lost with it: messages are wake-ups, and the database dispatches again.
//!
//! # Invariants
//! - A queue that answers, holds messages or has consumers is never deleted: it may only be slow, or
//!   another process may have made it anew. Quorum queues take no `if-empty` and no `if-unused`, so this
//!   is asked before.
//! - Processes look at different moments, and each deletes a queue again only after a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use super::link::{Link, declare};
use super::outage::{in_words, no_answer};
use super::{PATIENCE, Place};
use crate::task::TaskKind;

/// How many times in a row, each on a connection of its own, a queue must stay silent. With a
/// patience of five seconds that is more than a busy disk or the choice of a leader takes.
const TRIES: u32 = 4;
/// How long the broker has to delete a queue: it first waits 5 seconds for the queue itself.
const DELETION: Duration = Duration::from_secs(15);

/// The longest pause before a process looks at a deaf queue: another one may be faster.
const JITTER: Duration = Duration::from_secs(3);
/// How long a process leaves a queue alone that it has made anew: this, then twice as long, and so on.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Counts how often queues were silent since they were heard last.
#[derive(Debug, Default)]
pub(super) struct Silences(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: HashMap<TaskKind, u32>,
    replaced: HashMap<TaskKind, Replaced>,
}

/// When a queue was made anew last.
#[derive(Debug, Clone, Copy)]
struct Replaced {
    at: Instant,
    times: u32,
}

impl Replaced {
    fn is_long_ago(self, now: Instant) -> bool {
        let pause = LEFT_ALONE.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        now.duration_since(self.at) >= pause
    }
}

/// What a look at a silent queue shows.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// It hands out messages, or says that it has none.
    Answers,
    /// It does not, and a worker would miss it.
    InUse {
        messages: u32,
        consumers: u32,
    },
    Deaf,
}

impl Silences {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of `kind` answered, or is a new one.
    pub(super) fn heard(&self, kind: TaskKind) {
        self.state().counts.remove(&kind);
    }

    /// The queue of `kind` confirmed nothing of a batch, or did not let itself be read.
    pub(super) fn silent(&self, kind: TaskKind) {
        *self.state().counts.entry(kind).or_default() += 1;
    }

    /// Makes the deaf queues anew, where nobody would miss them.
    ///
    /// # Errors
    /// Why that is not possible now.
    pub(super) async fn replace_deaf_queues(
        &self,
        link: &Arc<Link>,
        place: &Place,
    ) -> Result<(), String> {
        for kind in self.deaf() {
            sleep(JITTER.mul_f64(rand::random_range(0.0..1.0))).await;
            let queue = place.queue_name(kind);
            match look(link, &queue).await? {
                Look::Answers => info!("the queue {queue} answers again"),
                Look::InUse { messages, consumers } => error!(
                    "the queue {queue} is silent; it is left as it is, since it holds {messages} \
                     messages and has {consumers} consumers. If it stays so, look at the broker's \
                     disk and log; it may be deleted (rabbitmqctl delete_queue {queue}): its tasks \
                     are dispatched again"
                ),
                Look::Deaf => self.replace(kind, link, &queue).await?,
            }
            self.heard(kind);
        }
        Ok(())
    }

    async fn replace(&self, kind: TaskKind, link: &Arc<Link>, queue: &str) -> Result<(), String> {
        let replaced = self.state().replaced.get(&kind).copied();
        let now = Instant::now();
        if replaced.is_some_and(|replaced| !replaced.is_long_ago(now)) {
            error!(
                "the queue {queue} is silent again soon after it was made anew; it is left as it is \
                 for a while. Look at the broker's disk and log"
            );
            return Ok(());
        }
        error!(
            "the queue {queue} has no leader: it takes no message and hands none out. It is deleted \
             and made anew; its tasks are dispatched again. RabbitMQ before 3.12 loses a young queue \
             when it is killed; where that was not it, look at the broker's disk and log"
        );
        let times = replaced.map_or(1, |replaced| replaced.times.saturating_add(1));
        self.state().replaced.insert(kind, Replaced { at: now, times });
        let replacement = async {
            let channel = link.channel().await?;
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
            declare(&channel, queue).await
        };
        match timeout(DELETION, replacement).await {
            Ok(replaced) => replaced.map_err(|error| in_words(&error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// The kinds whose queues do not hear.
    fn deaf(&self) -> Vec<TaskKind> {
        let state = self.state();
        let deaf = state.counts.iter().filter(|(_, silences)| **silences >= TRIES);
        deaf.map(|(kind, _)| *kind).collect()
    }
}

/// Asks the queue for a message, and who else has to do with it.
async fn look(link: &Arc<Link>, queue: &str) -> Result<Look, String> {
    let asked = async {
        let channel = link.channel().await?;
        // What it hands out goes back with the channel.
        channel.basic_get(queue.into(), BasicGetOptions::default()).await
    };
    if let Ok(Ok(_)) = timeout(PATIENCE, asked).await {
        return Ok(Look::Answers);
    }
    let counted = async {
        let channel = link.channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await
    };
    match timeout(PATIENCE, counted).await {
        Ok(Ok(counted)) => Ok(match (counted.message_count(), counted.consumer_count()) {
            (0, 0) => Look::Deaf,
            (messages, consumers) => Look::InUse { messages, consumers },
        }),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err(no_answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_confirm_timeouts_make_a_queue_unresponsive() {
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
    #[test]
    fn recreations_of_a_queue_back_off() {
        let at = Instant::now();
        for (times, pause) in [(1, 60), (2, 120), (3, 240)] {
            let replaced = Replaced { at, times };
            assert!(!replaced.is_long_ago(at + Duration::from_secs(pause - 1)));
            assert!(replaced.is_long_ago(at + Duration::from_secs(pause)));
        }
    }
}
