//! What was just committed goes to the queue at once, without another look at the outbox.
//!
//! # Invariants
//! - Everything here is in the outbox too, held for this process: what is lost here, with the process
//!   or because there is too much, is published by a relay when it is held no more.
//! - Nothing waits for company: a single one goes at once, and what comes while others are published
//!   goes with the next ones.
//! - What the queue confirmed is deleted from the outbox later, with much else: nobody waits for that.
//!
//! # Not here
//! Reading the outbox, and noting in it what became of messages (`relay`).

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use common::queue::Publisher;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::relay::{Published, publish};
use crate::tasks::outbox::Dispatch;

/// How many messages are published at once.
const BATCH: usize = 500;
/// How many wait at the most; a queue that takes so long is as good as away.
const MOST: usize = 100_000;
/// When so many are to be noted, the relay is not waited for.
const NOTED: usize = 500;

/// Messages on their way to the queue.
type Publishing = Pin<Box<dyn Future<Output = Published> + Send>>;

/// Between who commits, who publishes, and the relay.
#[derive(Default)]
pub(super) struct DirectPublish {
    /// There is one when the relay has started.
    publisher: OnceLock<Publisher>,
    queue: Mutex<Queue>,
    begun: Notify,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Dispatch>,
    /// Whether somebody publishes, and takes what waits after that.
    is_served: bool,
    /// What was begun by who committed it; the relay carries it on.
    begun: Option<Publishing>,
}

impl std::fmt::Debug for DirectPublish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectPublish").finish_non_exhaustive()
    }
}

impl DirectPublish {
    /// Takes what was committed. Calls `wake` when the relay is to note what was published.
    pub(super) fn add(&self, dispatches: impl IntoIterator<Item = Dispatch>, wake: impl Fn()) {
        let mut queue = lock(&self.queue);
        let free = MOST.saturating_sub(queue.waiting.len());
        queue.waiting.extend(dispatches.into_iter().take(free));
        drop(queue);
        self.begin(wake);
    }

    /// What was published and is still to be noted.
    pub(super) fn published(&self) -> Published {
        std::mem::take(&mut *lock(&self.published))
    }

    /// Publishes until `shutdown`; calls `wake` when the relay is to note what was published.
    pub(super) async fn run(
        &self,
        publisher: &Publisher,
        wake: impl Fn(),
        shutdown: &CancellationToken,
    ) {
        let publisher = self.publisher.get_or_init(|| publisher.clone());
        self.begin(&wake);
        loop {
            let begun = lock(&self.queue).begun.take();
            let Some(begun) = begun else {
                tokio::select! {
                    () = self.begun.notified() => continue,
                    () = shutdown.cancelled() => return,
                }
            };
            self.note(begun.await, &wake);
            while let Some(publishing) = self.next(publisher) {
                self.note(publishing.await, &wake);
            }
        }
    }

    /// Publishes what waits, unless that is done already. It is begun here and now: with the first look at it
    /// messages are on their way, which otherwise waited until another thread has woken up.
    fn begin(&self, wake: impl Fn()) {
        let Some(publisher) = self.publisher.get() else { return };
        if std::mem::replace(&mut lock(&self.queue).is_served, true) {
            return;
        }
        while let Some(mut publishing) = self.next(publisher) {
            match (&mut publishing).now_or_never() {
                Some(published) => self.note(published, &wake),
                None => {
                    lock(&self.queue).begun = Some(publishing);
                    self.begun.notify_one();
                    return;
                }
            }
        }
    }

    /// What is to be published next by who serves the line; where there is nothing, it is no longer served.
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
        let is_much = published.len() >= NOTED;
        drop(published);
        if is_much {
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
    use crate::tasks::outbox::HELD;
    use crate::tasks::submissions::{NewTask, dispatches, submit_held};

    backend_tests![
        submitted_tasks_are_published_and_then_recorded,
        concurrent_submissions_are_published,
        tasks_of_a_dead_process_are_published_after_their_reservation,
    ];

    const KIND: TaskKind = TaskKind::MessageValidation;
    /// Less than [`HELD`]: what comes later was left to the outbox.
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

        /// Commits a task that is held; what is to be handed over.
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
                Ok(dispatches(&submit_held(conn, tasks, now)?))
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
                assert!(Instant::now() < deadline, "the outbox is never emptied");
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
            fixture.signal.hand_over(dispatches);
            assert_eq!(fixture.next().await, message);
        }
        fixture.is_noted().await;
        // What is handed over last is noted before the end.
        let dispatches = fixture.accept().await;
        fixture.signal.hand_over(dispatches);
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
            let handed_over = dispatches.chunks(100).map(|part| {
                let (part, signal) = (part.to_vec(), fixture.signal.clone());
                tokio::task::spawn_blocking(move || {
                    part.into_iter().for_each(|due| signal.hand_over([due]));
                })
            });
            for one in handed_over.collect::<Vec<_>>() {
                one.await.unwrap();
            }
            // The first ones come before there is a relay.
            relay.get_or_insert_with(|| fixture.start_relay());
        }
        let published = async {
            while !awaited.is_empty() {
                awaited.remove(&fixture.next().await);
            }
        };
        timeout(DEADLINE, published).await.expect("none is left to the outbox");
        fixture.is_noted().await;
        fixture.shutdown.cancel();
        relay.unwrap().await.unwrap();
    }

    async fn tasks_of_a_dead_process_are_published_after_their_reservation(backend: Backend) {
        let mut fixture = Fixture::new(backend).await;
        // It died between the commit and the message: nothing was handed over.
        let message = fixture.accept().await[0].message;
        let relay = fixture.start_relay();
        assert!(fixture.is_silent().await, "others leave it alone");
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
        assert!(started.elapsed() < HELD / 2, "it was waited for");
        fixture.shutdown.cancel();
        relay.await.unwrap();
    }
}
