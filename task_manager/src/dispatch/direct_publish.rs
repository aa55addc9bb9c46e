//! Publishes messages right after their commit, without reading them back from the outbox.
//!
//! # Invariants
//! - Every message here is in the outbox too, reserved for this process. Messages that are lost,
//!   with the process or because too many wait, are published by a relay when their reservation
//!   expires.
//! - Nothing waits to fill a batch: a single message is published immediately, and messages that
//!   arrive during a publish share the next batch.
//! - Confirmed messages are deleted from the outbox later, in batches: no request waits for that.
//!
//! # Not here
//! Reading the outbox, and recording outcomes in it (`relay`).

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use common::queue::Publisher;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::relay::{Published, publish};
use crate::tasks::outbox::Dispatch;

/// The largest batch of messages.
const BATCH: usize = 500;
/// The most messages that wait; a queue that is so slow counts as down.
const MAX_WAITING: usize = 100_000;
/// When so many outcomes wait to be recorded, the relay is woken early.
const RECORD_AT: usize = 500;

/// Messages being published.
type Publishing = Pin<Box<dyn Future<Output = Published> + Send>>;

/// Connects the committing requests, the publishing task and the relay.
#[derive(Default)]
pub(super) struct DirectPublish {
    /// Set when the relay has started.
    publisher: OnceLock<Publisher>,
    queue: Mutex<Queue>,
    started: Notify,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Dispatch>,
    /// Whether a thread or task is publishing, and will take the waiting messages next.
    is_served: bool,
    /// A publish that was started on a committing thread, for the relay to continue.
    started: Option<Publishing>,
}

impl std::fmt::Debug for DirectPublish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectPublish").finish_non_exhaustive()
    }
}

impl DirectPublish {
    /// Takes committed dispatches. Calls `wake` when the relay should record outcomes.
    pub(super) fn add(&self, dispatches: impl IntoIterator<Item = Dispatch>, wake: impl Fn()) {
        let mut queue = lock(&self.queue);
        let free = MAX_WAITING.saturating_sub(queue.waiting.len());
        queue.waiting.extend(dispatches.into_iter().take(free));
        drop(queue);
        self.begin(wake);
    }

    /// Takes the outcomes that are not recorded yet.
    pub(super) fn published(&self) -> Published {
        std::mem::take(&mut *lock(&self.published))
    }

    /// Publishes until `shutdown`; calls `wake` when the relay should record outcomes.
    pub(super) async fn run(
        &self,
        publisher: &Publisher,
        wake: impl Fn(),
        shutdown: &CancellationToken,
    ) {
        let publisher = self.publisher.get_or_init(|| publisher.clone());
        self.begin(&wake);
        loop {
            let started = lock(&self.queue).started.take();
            let Some(started) = started else {
                tokio::select! {
                    () = self.started.notified() => continue,
                    () = shutdown.cancelled() => return,
                }
            };
            self.note(started.await, &wake);
            while let Some(publishing) = self.next(publisher) {
                self.note(publishing.await, &wake);
            }
        }
    }

    /// Publishes the waiting messages, unless that is in progress. It starts on the calling thread:
    /// the first poll sends the messages, without waiting for another thread to wake up.
    fn begin(&self, wake: impl Fn()) {
        let Some(publisher) = self.publisher.get() else { return };
        if std::mem::replace(&mut lock(&self.queue).is_served, true) {
            return;
        }
        while let Some(mut publishing) = self.next(publisher) {
            match (&mut publishing).now_or_never() {
                Some(published) => self.note(published, &wake),
                None => {
                    lock(&self.queue).started = Some(publishing);
                    self.started.notify_one();
                    return;
                }
            }
        }
    }

    /// The next batch to publish; if there is none, the queue is no longer served.
    fn next(&self, publisher: &Publisher) -> Option<Publishing> {
        let mut queue = lock(&self.queue);
        let count = queue.waiting.len().min(BATCH);
        queue.is_served = count > 0;
        if !queue.is_served {
            return None;
        }
        let next = queue.waiting.drain(..count).collect();
        let publisher = publisher.clone();
        Some(Box::pin(async move { publish(&publisher, next).await }))
    }

    fn note(&self, latest: Published, wake: impl Fn()) {
        let mut published = lock(&self.published);
        published.append(latest);
        let is_large = published.len() >= RECORD_AT;
        drop(published);
        if is_large {
            wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was locked leaves valid lists.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use common::queue::{Consumer, Message, Queue};
    use common::task::spec::{MessageValidationSpec, TaskSpec};
    use common::task::{TaskKind, UserId};
    use diesel::prelude::*;
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep, timeout};
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests, queue};
    use crate::db;
    use crate::db::own::OwnDatabase;
    use crate::db::schema::outbox;
    use crate::dispatch::redispatch;
    use crate::dispatch::relay::{self, POLL, RelaySignal};
    use crate::tasks::outbox::RESERVATION;
    use crate::tasks::submissions::{NewTask, dispatches, submit_reserved};

    backend_tests![
        submitted_tasks_are_published_and_then_recorded,
        concurrent_submissions_are_published,
        tasks_of_a_dead_process_are_published_after_their_reservation,
    ];

    const KIND: TaskKind = TaskKind::MessageValidation;
    /// Less than [`RESERVATION`]: later messages came through the outbox.
    const DEADLINE: Duration = Duration::from_secs(8);

    struct Fixture {
        own: OwnDatabase,
        queue: Queue,
        consumer: Consumer,
        signal: RelaySignal,
        shutdown: CancellationToken,
    }

    impl Fixture {
        async fn new(backend: Backend) -> Self {
            let own = OwnDatabase::migrated(backend).await;
            let queue = queue(backend);
            let consumer = queue.consumer(&[KIND], 10);
            let (signal, shutdown) = (RelaySignal::default(), CancellationToken::new());
            Self { own, queue, consumer, signal, shutdown }
        }

        fn start_relay(&self) -> JoinHandle<()> {
            let (signal, shutdown) = (self.signal.clone(), self.shutdown.clone());
            tokio::spawn(relay::run(self.own.db.clone(), self.queue.publisher(), signal, shutdown))
        }

        /// Commits a reserved task; returns its dispatches, to publish directly.
        async fn accept(&self) -> Vec<Dispatch> {
            self.accept_several(1).await
        }

        async fn accept_several(&self, count: usize) -> Vec<Dispatch> {
            let accepted = self.own.db.write(move |conn| {
                let now = db::now(conn)?;
                let owner = UserId(Uuid::nil());
                let spec = TaskSpec::MessageValidation(MessageValidationSpec {
                    user_id: owner,
                    message: "kept".to_owned(),
                    number: 1,
                    request_count: 1,
                });
                let tasks = vec![NewTask { owner, spec }; count];
                Ok(dispatches(&submit_reserved(conn, tasks, now)?))
            });
            accepted.await.unwrap()
        }

        async fn next(&mut self) -> Message {
            let delivery = timeout(DEADLINE, self.consumer.next()).await.expect("it is published");
            let message = delivery.message();
            delivery.ack().await;
            message
        }

        async fn is_silent(&mut self) -> bool {
            timeout(2 * POLL, self.consumer.next()).await.is_err()
        }

        async fn rows(&self) -> i64 {
            let count = self.own.db.read(|conn| Ok(outbox::table.count().get_result(conn)?));
            count.await.unwrap()
        }

        async fn is_noted(&self) {
            let deadline = Instant::now() + DEADLINE;
            while self.rows().await > 0 {
                assert!(Instant::now() < deadline, "the outbox never becomes empty");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn submitted_tasks_are_published_and_then_recorded(backend: Backend) {
        let mut fixture = Fixture::new(backend).await;
        let relay = fixture.start_relay();
        for _ in 0..3 {
            let dispatches = fixture.accept().await;
            let message = dispatches[0].message;
            fixture.signal.publish_directly(dispatches);
            assert_eq!(fixture.next().await, message);
        }
        fixture.is_noted().await;
        // The last message is recorded before the shutdown.
        let dispatches = fixture.accept().await;
        fixture.signal.publish_directly(dispatches);
        fixture.next().await;
        fixture.shutdown.cancel();
        relay.await.unwrap();
        assert_eq!(fixture.rows().await, 0);
    }

    async fn concurrent_submissions_are_published(backend: Backend) {
        let mut fixture = Fixture::new(backend).await;
        let mut awaited = HashSet::new();
        let mut relay = None;
        for _ in 0..3 {
            let dispatches = fixture.accept_several(400).await;
            awaited.extend(dispatches.iter().map(|due| due.message));
            let submitted = dispatches.chunks(100).map(|part| {
                let (part, signal) = (part.to_vec(), fixture.signal.clone());
                tokio::task::spawn_blocking(move || {
                    part.into_iter().for_each(|due| signal.publish_directly([due]));
                })
            });
            for one in submitted.collect::<Vec<_>>() {
                one.await.unwrap();
            }
            // The first messages are submitted before the relay starts.
            relay.get_or_insert_with(|| fixture.start_relay());
        }
        let published = async {
            while !awaited.is_empty() {
                awaited.remove(&fixture.next().await);
            }
        };
        timeout(DEADLINE, published).await.expect("all are published directly");
        fixture.is_noted().await;
        fixture.shutdown.cancel();
        relay.unwrap().await.unwrap();
    }

    async fn tasks_of_a_dead_process_are_published_after_their_reservation(backend: Backend) {
        let mut fixture = Fixture::new(backend).await;
        // The process died between the commit and the publish.
        let message = fixture.accept().await[0].message;
        let relay = fixture.start_relay();
        assert!(fixture.is_silent().await, "it is reserved");
        let long_ago = fixture.own.db.write(|conn| {
            let past = db::now(conn)? - Duration::from_secs(1);
            diesel::update(outbox::table).set(outbox::locked_until.eq(past)).execute(conn)?;
            Ok(())
        });
        long_ago.await.unwrap();
        assert_eq!(fixture.next().await, message);
        fixture.is_noted().await;
        fixture.shutdown.cancel();
        relay.await.unwrap();
    }

    #[tokio::test]
    async fn a_single_process_publishes_the_reserved_tasks_of_its_predecessor() {
        let mut fixture = Fixture::new(Backend::Standalone).await;
        let message = fixture.accept().await[0].message;
        redispatch::fill(&fixture.own.db).await.unwrap();
        let started = Instant::now();
        let relay = fixture.start_relay();
        assert_eq!(fixture.next().await, message);
        assert!(started.elapsed() < RESERVATION / 2, "the reservation was not waited for");
        fixture.shutdown.cancel();
        relay.await.unwrap();
    }
}
