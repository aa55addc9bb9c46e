//! Takes deliveries from the queue and acks them.
//!
//! # Invariants
//! - The worker never keeps work that it cannot start: the prefetch is the number of slots. If no
//!   slot becomes free for a second, the consumer is paused, and its unacked deliveries go to other
//!   workers.
//! - No delivery stays unacked for long, so the broker's consumer timeout is never reached.
//! - Nothing here waits for the broker: acks and pauses run in the background, so a broker that
//!   hangs delays neither the other lane nor a drain.

use std::collections::HashSet;
use std::time::Duration;

use common::queue::{Consumer, Delivery, Queue, ack_all};
use common::task::TaskKind;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::attempts::AttemptKey;

/// How long a claimed delivery is held before it is acked, and how long the worker may be busy
/// before it pauses its consumer.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// How long the deliveries of ended attempts wait to be acked together. A few of them would gain
/// nothing from earlier acks. The broker writes each ack to its disk, which slows down the report
/// of the same task if broker and task manager share a machine.
const ACK_DELAY: Duration = Duration::from_millis(5);

/// If at least one in this many deliveries of the prefetch is that of an ended attempt, they are
/// acked immediately, since the worker could run out of deliveries.
const IMMEDIATE_ACK_SHARE: usize = 8;

/// How long the worker waits for its last acks when it shuts down.
const LAST_ACKS: Duration = Duration::from_secs(5);

/// Whether the worker can start what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// A slot is free.
    Ready,
    /// No slot is free, but one may become free soon.
    Busy,
    /// Nothing can start for a while.
    Closed,
}

/// The deliveries of a worker.
#[derive(Debug)]
pub(super) struct Intake {
    consumer: Consumer,
    /// The maximum number of unacked deliveries.
    prefetch: usize,
    /// Claimed and not yet acked, oldest first. Each counts against the prefetch, so that the queue
    /// does not send more deliveries than there are slots.
    held: Vec<Held>,
    /// The deliveries of ended attempts, and when they are acked.
    ended: Vec<Delivery>,
    acks_at: Option<Instant>,
    busy_since: Option<Instant>,
    paused: bool,
    /// Acks and pauses that are in progress.
    background: TaskTracker,
}

#[derive(Debug)]
struct Held {
    key: AttemptKey,
    delivery: Delivery,
    until: Instant,
}

impl Intake {
    /// Takes tasks of these kinds, with at most `prefetch` unacked deliveries.
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

    /// `first` and the deliveries that have already arrived, at most `limit` in all.
    pub(super) fn collect(&mut self, first: Delivery, limit: usize) -> Vec<Delivery> {
        let mut deliveries = vec![first];
        while deliveries.len() < limit
            && let Some(delivery) = self.consumer.try_next()
        {
            deliveries.push(delivery);
        }
        deliveries
    }

    /// Holds the delivery of a claimed attempt, to be acked later.
    pub(super) fn hold(&mut self, key: AttemptKey, delivery: Delivery) {
        self.held.push(Held { key, delivery, until: Instant::now() + MAX_HOLD });
    }

    /// Schedules acks for the deliveries of ended attempts, if they are still held.
    pub(super) fn ended(&mut self, keys: &[AttemptKey]) {
        let ended: HashSet<&AttemptKey> = keys.iter().collect();
        let held = self.held.extract_if(.., |held| ended.contains(&held.key));
        self.ended.extend(held.map(|held| held.delivery));
        if self.ended.len() * IMMEDIATE_ACK_SHARE >= self.prefetch {
            self.ack_ended();
        } else if !self.ended.is_empty() {
            self.acks_at.get_or_insert(Instant::now() + ACK_DELAY);
        }
    }

    /// Acks deliveries that are due, and pauses or resumes the consumer.
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
                if self.paused || since + MAX_HOLD <= now {
                    self.pause();
                }
            }
            Readiness::Closed => self.pause(),
        }
    }

    /// When [`settle`](Self::settle) must be called next, unless something changes earlier.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        if self.paused {
            return None;
        }
        // While the worker is busy, held deliveries wait for the pause.
        let held = match self.busy_since {
            Some(since) => Some(since + MAX_HOLD),
            None => self.held.first().map(|held| held.until),
        };
        held.into_iter().chain(self.acks_at).min()
    }

    /// Pauses the consumer, and then acks the held deliveries. The order matters, since an ack
    /// makes the broker send the next delivery.
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

    /// Starts `work` immediately; if it has to wait, it continues in the background.
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Box::pin(work);
        if work.as_mut().now_or_never().is_none() {
            self.background.spawn(work);
        }
    }

    /// Pauses the consumer, and waits up to [`LAST_ACKS`] until all acks were sent.
    pub(super) async fn end(&mut self) {
        self.pause();
        self.background.close();
        if timeout(LAST_ACKS, self.background.wait()).await.is_err() {
            tracing::warn!("the broker does not answer; unacked messages are delivered again");
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

    /// An intake that holds one delivery and may take another.
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

    async fn receives(intake: &mut Intake) -> bool {
        timeout(Duration::from_millis(1), intake.next()).await.is_ok()
    }

    /// The number of messages in the queue after the intake is dropped, which returns unacked ones.
    async fn left(queue: &Queue, intake: Intake) -> u64 {
        drop(intake);
        queue.publisher().depth(KIND).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_is_held_for_a_second() {
        let queue = queue_with(1).await;
        let mut intake = holding_one(&queue).await;
        advance(MAX_HOLD / 2).await;
        intake.settle(Readiness::Ready);
        assert_eq!(left(&queue, intake).await, 1, "too early");

        let mut intake = holding_one(&queue).await;
        advance(MAX_HOLD).await;
        intake.settle(Readiness::Ready);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_attempt_acks_immediately_if_the_prefetch_is_small() {
        let queue = queue_with(1).await;
        let mut intake = holding_one_of(&queue, IMMEDIATE_ACK_SHARE).await;
        let key = intake.held[0].key;
        intake.ended(&[key]);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_attempt_acks_after_a_delay_if_the_prefetch_is_large() {
        for readiness in [Readiness::Ready, Readiness::Busy] {
            let queue = queue_with(1).await;
            let mut intake = holding_one_of(&queue, IMMEDIATE_ACK_SHARE + 1).await;
            let key = intake.held[0].key;
            intake.ended(&[key]);
            intake.settle(readiness);
            assert_eq!(intake.settles_at(), Some(Instant::now() + ACK_DELAY));
            assert_eq!(intake.ended.len(), 1, "too early");
            advance(ACK_DELAY).await;
            intake.settle(readiness);
            assert_eq!(left(&queue, intake).await, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_worker_acks_ended_attempts_immediately() {
        let queue = queue_with(1).await;
        let mut intake = holding_one_of(&queue, IMMEDIATE_ACK_SHARE + 1).await;
        let key = intake.held[0].key;
        intake.ended(&[key]);
        intake.settle(Readiness::Closed);
        assert_eq!(left(&queue, intake).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_pauses_until_it_is_ready() {
        let queue = queue_with(2).await;
        let mut intake = holding_one(&queue).await;
        intake.settle(Readiness::Busy);
        assert_eq!(intake.settles_at(), Some(Instant::now() + MAX_HOLD));
        advance(MAX_HOLD).await;
        intake.settle(Readiness::Busy);
        assert_eq!(intake.settles_at(), None);
        assert!(!receives(&mut intake).await, "paused");
        intake.settle(Readiness::Ready);
        assert!(receives(&mut intake).await, "resumed");
        assert_eq!(left(&queue, intake).await, 1, "the first one was acked, the second was not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_worker_stops_taking_immediately() {
        let queue = queue_with(2).await;
        let mut intake = holding_one(&queue).await;
        intake.settle(Readiness::Closed);
        assert!(!receives(&mut intake).await);
        assert_eq!(left(&queue, intake).await, 1);
    }
}
