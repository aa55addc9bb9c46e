//! What the worker takes from the queue, and when it acks.
//!
//! # Invariants
//! - The worker never sits on work that it cannot start: the queue hands out at most as many
//!   deliveries as there are slots, and where no slot gets free for a second the consumer is
//!   paused, so that what waits in it goes to another worker.
//! - No delivery stays unacked for long, so the broker's consumer timeout never strikes.
//! - Nothing here waits for the broker: acks and pauses go on in the background, so that a broker that
//!   hangs delays neither the other lane nor a drain.

use std::collections::HashSet;
use std::time::Duration;

use common::queue::{Consumer, Delivery, Queue, ack_all};
use common::task::TaskKind;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::attempts::AttemptKey;

/// How long a claimed delivery is held, and how long the worker may be busy before it pauses.
const HOLD: Duration = Duration::from_secs(1);

/// How long the deliveries of ended attempts wait for others to be acked with. Few would win nothing by
/// coming earlier, and the broker writes an ack to its disk: where it shares a machine with the task
/// manager, that would slow down the report of the same task.
const GATHER: Duration = Duration::from_millis(5);

/// They do not wait where they are this part of all that the queue hands out: it would be missed.
const MISSED: usize = 8;

/// How long the worker waits for its last acks when it ends.
const LAST_ACKS: Duration = Duration::from_secs(5);

/// Whether the worker can start what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// A slot is free.
    Ready,
    /// Not now, but maybe in a moment.
    Busy,
    /// Not for a while.
    Closed,
}

/// The deliveries of a worker.
#[derive(Debug)]
pub(super) struct Intake {
    consumer: Consumer,
    /// How many deliveries the queue hands out.
    prefetch: usize,
    /// Claimed and not yet acked, oldest first: each counts against the prefetch, so that the
    /// queue does not send more than there are slots.
    held: Vec<Held>,
    /// Those of attempts that have ended, and when they are acked.
    ended: Vec<Delivery>,
    acks_at: Option<Instant>,
    busy_since: Option<Instant>,
    paused: bool,
    /// Acks and pauses on their way to the broker.
    background: TaskTracker,
}

#[derive(Debug)]
struct Held {
    key: AttemptKey,
    delivery: Delivery,
    until: Instant,
}

impl Intake {
    /// Takes tasks of these kinds; the queue hands out `prefetch` deliveries at most.
    pub(super) fn new(queue: &Queue, kinds: &[TaskKind], prefetch: usize) -> Self {
        let consumer = queue.consumer(kinds, prefetch);
        Self {
            consumer,
            prefetch,
            held: Vec::new(),
            ended: Vec::new(),
            acks_at: None,
            busy_since: None,
            paused: false,
            background: TaskTracker::new(),
        }
    }

    /// Waits for a delivery. Cancel-safe.
    pub(super) async fn next(&mut self) -> Delivery {
        self.consumer.next().await
    }

    /// `first` with the deliveries that are there already, at most `limit` in all.
    pub(super) fn collect(&mut self, first: Delivery, limit: usize) -> Vec<Delivery> {
        let mut deliveries = vec![first];
        while deliveries.len() < limit
            && let Some(delivery) = self.consumer.try_next()
        {
            deliveries.push(delivery);
        }
        deliveries
    }

    /// Keeps the delivery of a claimed attempt for now.
    pub(super) fn hold(&mut self, key: AttemptKey, delivery: Delivery) {
        self.held.push(Held { key, delivery, until: Instant::now() + HOLD });
    }

    /// The deliveries of attempts that have ended are acked soon, where they are still held.
    pub(super) fn ended(&mut self, keys: &[AttemptKey]) {
        let ended: HashSet<&AttemptKey> = keys.iter().collect();
        let held = self.held.extract_if(.., |held| ended.contains(&held.key));
        self.ended.extend(held.map(|held| held.delivery));
        if self.ended.len() * MISSED >= self.prefetch {
            self.ack_ended();
        } else if !self.ended.is_empty() {
            self.acks_at.get_or_insert(Instant::now() + GATHER);
        }
    }

    /// Does what is due now.
    pub(super) fn settle(&mut self, readiness: Readiness) {
        let now = Instant::now();
        if self.acks_at.is_some_and(|at| at <= now) {
            self.ack_ended();
        }
        match readiness {
            Readiness::Ready => {
                self.busy_since = None;
                if self.paused {
                    self.consumer.resume();
                    self.paused = false;
                }
                let due = self.held.partition_point(|held| held.until <= now);
                let due = self.held.drain(..due).map(|held| held.delivery).collect();
                self.ack(due);
            }
            Readiness::Busy => {
                let since = *self.busy_since.get_or_insert(now);
                if self.paused || since + HOLD <= now {
                    self.pause();
                }
            }
            Readiness::Closed => self.pause(),
        }
    }

    /// When [`settle`](Self::settle) has something to do at the latest, if nothing changes.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        if self.paused {
            return None;
        }
        // While the worker is busy, what is held waits for the pause.
        let held = match self.busy_since {
            Some(since) => Some(since + HOLD),
            None => self.held.first().map(|held| held.until),
        };
        held.into_iter().chain(self.acks_at).min()
    }

    /// Takes nothing more; acks what is held only then, since an ack asks for the next delivery.
    fn pause(&mut self) {
        self.acks_at = None;
        let ended = std::mem::take(&mut self.ended);
        let deliveries: Vec<_> =
            self.held.drain(..).map(|held| held.delivery).chain(ended).collect();
        if self.paused {
            return self.ack(deliveries);
        }
        self.paused = true;
        let pausing = self.consumer.pause();
        self.begin(async move {
            pausing.await;
            ack_all(deliveries).await;
        });
    }

    fn ack_ended(&mut self) {
        self.acks_at = None;
        let ended = std::mem::take(&mut self.ended);
        self.ack(ended);
    }

    /// Acks deliveries, together.
    pub(super) fn ack(&self, deliveries: Vec<Delivery>) {
        if !deliveries.is_empty() {
            self.begin(ack_all(deliveries));
        }
    }

    /// Begins at once; what has to wait goes on in the background.
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Box::pin(work);
        if work.as_mut().now_or_never().is_none() {
            self.background.spawn(work);
        }
    }

    /// Takes nothing more, and waits until the broker was told everything, or for [`LAST_ACKS`].
    pub(super) async fn end(&mut self) {
        self.pause();
        self.background.close();
        if timeout(LAST_ACKS, self.background.wait()).await.is_err() {
            tracing::warn!("the broker does not answer; what was not acked comes again elsewhere");
        }
    }
}

#[cfg(test)]
mod tests {
    use common::queue::{MemoryQueue, Message};
    use common::task::TaskId;
    use tokio::time::advance;

    use super::*;

    const KIND: TaskKind = TaskKind::CsvAggregation;

    async fn queue_with(count: usize) -> Queue {
        let queue = Queue::Memory(MemoryQueue::default());
        let message = || Message { task_id: TaskId::new(), dispatch: 1 };
        let messages: Vec<_> = (0..count).map(|_| (KIND, message())).collect();
        queue.publisher().publish(&messages).await;
        queue
    }

    /// An intake that holds one delivery and has room for another.
    async fn holding_one(queue: &Queue) -> Intake {
        holding_one_of(queue, 2).await
    }

    async fn holding_one_of(queue: &Queue, prefetch: usize) -> Intake {
        let mut intake = Intake::new(queue, &[KIND], prefetch);
        let delivery = intake.next().await;
        let task_id = delivery.message().task_id;
        intake.hold(AttemptKey { task_id, attempt: 1 }, delivery);
        intake
    }

    async fn comes(intake: &mut Intake) -> bool {
        timeout(Duration::from_millis(1), intake.next()).await.is_ok()
    }

    /// How many messages are left when the intake is gone: what it has not acked comes back.
    async fn left(queue: &Queue, intake: Intake) -> u64 {
        drop(intake);
        queue.publisher().depth(KIND).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_is_held_for_a_second() {
        let queue = queue_with(1).await;
        let mut intake = holding_one(&queue).await;
        advance(HOLD / 2).await;
        intake.settle(Readiness::Ready);
        assert_eq!(left(&queue, intake).await, 1, "too early");

        let mut intake = holding_one(&queue).await;
        advance(HOLD).await;
        intake.settle(Readiness::Ready);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_its_attempt_acks_what_the_queue_would_miss_at_once() {
        let queue = queue_with(1).await;
        let mut intake = holding_one_of(&queue, MISSED).await;
        let key = intake.held[0].key;
        intake.ended(&[key]);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_its_attempt_acks_one_of_many_soon() {
        for readiness in [Readiness::Ready, Readiness::Busy] {
            let queue = queue_with(1).await;
            let mut intake = holding_one_of(&queue, MISSED + 1).await;
            let key = intake.held[0].key;
            intake.ended(&[key]);
            intake.settle(readiness);
            assert_eq!(intake.settles_at(), Some(Instant::now() + GATHER));
            assert_eq!(intake.ended.len(), 1, "too early");
            advance(GATHER).await;
            intake.settle(readiness);
            assert_eq!(left(&queue, intake).await, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_worker_acks_what_has_ended_at_once() {
        let queue = queue_with(1).await;
        let mut intake = holding_one_of(&queue, MISSED + 1).await;
        let key = intake.held[0].key;
        intake.ended(&[key]);
        intake.settle(Readiness::Closed);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_leaves_the_rest_to_others_until_it_is_ready_again() {
        let queue = queue_with(2).await;
        let mut intake = holding_one(&queue).await;
        intake.settle(Readiness::Busy);
        assert_eq!(intake.settles_at(), Some(Instant::now() + HOLD));
        advance(HOLD).await;
        intake.settle(Readiness::Busy);
        assert_eq!(intake.settles_at(), None);
        assert!(!comes(&mut intake).await, "paused");
        intake.settle(Readiness::Ready);
        assert!(comes(&mut intake).await, "resumed");
        assert_eq!(left(&queue, intake).await, 1, "the first one was acked, the second was not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_worker_takes_nothing_at_once() {
        let queue = queue_with(2).await;
        let mut intake = holding_one(&queue).await;
        intake.settle(Readiness::Closed);
        assert!(!comes(&mut intake).await);
        assert_eq!(left(&queue, intake).await, 1);
    }
}
