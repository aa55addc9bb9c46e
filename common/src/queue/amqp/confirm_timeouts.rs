//! Detects and recreates unresponsive queues. The broker lists such a queue and accepts messages
//! for it, but never confirms or delivers one.
//!
//! RabbitMQ 3.10 keeps the names of the logs of its quorum queues in a file that it writes every
//! three minutes. If it is killed before that, it restarts a new queue with another, empty log and
//! without a leader, and never elects one. Declaring the queue succeeds; only deleting it helps.
//! Nothing is lost: messages are wake-ups, and the task manager dispatches the tasks again.
//!
//! # Invariants
//! - A queue that answers, contains messages or has consumers is never deleted: it may only be
//!   slow, or another process may have recreated it. Quorum queues support neither `if-empty` nor
//!   `if-unused`, so this is checked first.
//! - Processes probe at different moments, and each waits before it deletes a queue again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use super::connection::{Connection, declare};
use super::outage::{in_words, no_answer};
use super::{BrokerTarget, PATIENCE};
use crate::task::TaskKind;

/// After how many timeouts in a row, each on a new connection, a queue is unresponsive. At five
/// seconds each, that is longer than a busy disk or the election of a leader takes.
const MAX_TIMEOUTS: u32 = 4;
/// How long the broker may take to delete a queue: it first waits 5 seconds for the queue itself.
const DELETION: Duration = Duration::from_secs(15);

/// The longest pause before a process probes an unresponsive queue: another one may be faster.
const JITTER: Duration = Duration::from_secs(3);
/// How long a process waits before it recreates a queue again; the pause doubles each time.
const RECREATION_PAUSE: Duration = Duration::from_secs(60);

/// Counts the timeouts of each queue since its last confirm.
#[derive(Debug, Default)]
pub(super) struct ConfirmTimeouts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: HashMap<TaskKind, u32>,
    recreated: HashMap<TaskKind, Recreation>,
}

/// When a queue was last recreated, and how often so far.
#[derive(Debug, Clone, Copy)]
struct Recreation {
    at: Instant,
    times: u32,
}

impl Recreation {
    fn is_long_ago(self, now: Instant) -> bool {
        let pause = RECREATION_PAUSE.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        now.duration_since(self.at) >= pause
    }
}

/// The result of probing a queue.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    /// It delivers a message, or answers that it is empty.
    Responsive,
    /// It does not answer, but has messages or consumers.
    InUse {
        messages: u32,
        consumers: u32,
    },
    Unresponsive,
}

impl ConfirmTimeouts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of `kind` answered, or is new.
    pub(super) fn confirmed(&self, kind: TaskKind) {
        self.state().counts.remove(&kind);
    }

    /// The queue of `kind` confirmed nothing of a batch, or did not accept a consumer.
    pub(super) fn timed_out(&self, kind: TaskKind) {
        *self.state().counts.entry(kind).or_default() += 1;
    }

    /// Recreates unresponsive queues without messages and consumers.
    ///
    /// # Errors
    /// The broker failed.
    pub(super) async fn recreate_unresponsive_queues(
        &self,
        connection: &Arc<Connection>,
        target: &BrokerTarget,
    ) -> Result<(), String> {
        for kind in self.unresponsive() {
            sleep(JITTER.mul_f64(rand::random_range(0.0..1.0))).await;
            let queue = target.queue_name(kind);
            match probe(connection, &queue).await? {
                Probe::Responsive => info!("the queue {queue} answers again"),
                Probe::InUse { messages, consumers } => error!(
                    "the queue {queue} does not answer, but is not recreated, since it has {messages} \
                     messages and {consumers} consumers. If this persists, check the broker's \
                     disk and log; it may be deleted (rabbitmqctl delete_queue {queue}): its tasks \
                     are dispatched again"
                ),
                Probe::Unresponsive => self.replace(kind, connection, &queue).await?,
            }
            self.confirmed(kind);
        }
        Ok(())
    }

    async fn replace(
        &self,
        kind: TaskKind,
        connection: &Arc<Connection>,
        queue: &str,
    ) -> Result<(), String> {
        let recreated = self.state().recreated.get(&kind).copied();
        let now = Instant::now();
        if recreated.is_some_and(|recreated| !recreated.is_long_ago(now)) {
            error!(
                "the queue {queue} does not answer again soon after it was recreated, and is not \
                 recreated for a while. Check the broker's disk and log"
            );
            return Ok(());
        }
        error!(
            "the queue {queue} has no leader: it confirms and delivers no messages. It is deleted \
             and recreated; its tasks are dispatched again. RabbitMQ before 3.12 loses a new queue \
             when it is killed; if that is not the cause, check the broker's disk and log"
        );
        let times = recreated.map_or(1, |recreated| recreated.times.saturating_add(1));
        self.state().recreated.insert(kind, Recreation { at: now, times });
        let replacement = async {
            let channel = connection.channel().await?;
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
            declare(&channel, queue).await
        };
        match timeout(DELETION, replacement).await {
            Ok(recreated) => recreated.map_err(|error| in_words(&error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// The kinds whose queues are unresponsive.
    fn unresponsive(&self) -> Vec<TaskKind> {
        let state = self.state();
        let deaf =
            state.counts.iter().filter(|(_, confirm_timeouts)| **confirm_timeouts >= MAX_TIMEOUTS);
        deaf.map(|(kind, _)| *kind).collect()
    }
}

/// Requests a message from the queue; if it does not answer, counts its messages and consumers.
async fn probe(connection: &Arc<Connection>, queue: &str) -> Result<Probe, String> {
    let asked = async {
        let channel = connection.channel().await?;
        // A delivered message returns to the queue with the channel.
        channel.basic_get(queue.into(), BasicGetOptions::default()).await
    };
    if let Ok(Ok(_)) = timeout(PATIENCE, asked).await {
        return Ok(Probe::Responsive);
    }
    let counted = async {
        let channel = connection.channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        channel.queue_declare(queue.into(), passive, FieldTable::default()).await
    };
    match timeout(PATIENCE, counted).await {
        Ok(Ok(counted)) => Ok(match (counted.message_count(), counted.consumer_count()) {
            (0, 0) => Probe::Unresponsive,
            (messages, consumers) => Probe::InUse { messages, consumers },
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
        let confirm_timeouts = ConfirmTimeouts::default();
        for _ in 0..MAX_TIMEOUTS - 1 {
            confirm_timeouts.timed_out(kind);
        }
        confirm_timeouts.confirmed(kind);
        for _ in 0..MAX_TIMEOUTS - 1 {
            confirm_timeouts.timed_out(kind);
        }
        assert!(confirm_timeouts.unresponsive().is_empty(), "a confirm came in between");
        confirm_timeouts.timed_out(kind);
        assert_eq!(confirm_timeouts.unresponsive(), [kind]);
        if other != kind {
            confirm_timeouts.confirmed(other);
            assert_eq!(confirm_timeouts.unresponsive(), [kind]);
        }
        confirm_timeouts.confirmed(kind);
        assert!(confirm_timeouts.unresponsive().is_empty());
    }
    #[test]
    fn recreations_of_a_queue_back_off() {
        let at = Instant::now();
        for (times, pause) in [(1, 60), (2, 120), (3, 240)] {
            let recreated = Recreation { at, times };
            assert!(!recreated.is_long_ago(at + Duration::from_secs(pause - 1)));
            assert!(recreated.is_long_ago(at + Duration::from_secs(pause)));
        }
    }
}
