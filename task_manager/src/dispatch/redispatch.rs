//! Queued tasks whose message got lost are dispatched again. A surplus message does no harm: its
//! claim is refused because of its dispatch number.
//!
//! # Invariants
//! - A message counts as lost only when a later one of its kind was claimed, or the queue is empty:
//!   until then it may still be waiting in the queue.
//! - A task that is dispatched repeatedly without a claim is logged, and its message is sent to
//!   every consumer of the queue, since some consumers swallow messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::queue::Publisher;
use common::task::{TaskId, TaskKind};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::relay::RelaySignal;
use crate::db::{self, Database, DbResult};
use crate::passes::{Failures, PassError};
use crate::tasks::outbox::store::{self, Redispatched};

/// A message that was published more recently does not count as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many tasks one pass dispatches again, so that it does not double a long queue.
const BATCH: i64 = 1_000;
/// A task that was dispatched again so many times counts as swallowed.
pub const SWALLOWED: u32 = 3;
/// How long a task counts as swallowed after a redispatch: by then it is dispatched again, or
/// claimed.
const REMEMBERED: Duration = Duration::from_secs(120);
/// The most copies of messages that one pass publishes.
const COPIES: usize = 1_000;

/// The tasks dispatched by this process whose messages are swallowed. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Swallowed(Arc<Mutex<HashMap<TaskId, Instant>>>);

impl Swallowed {
    /// The number of swallowed tasks.
    pub fn count(&self) -> usize {
        let mut tasks = self.tasks();
        tasks.retain(|_, noted| noted.elapsed() < REMEMBERED);
        tasks.len()
    }

    fn note(&self, id: TaskId) {
        self.tasks().insert(id, Instant::now());
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Instant>> {
        // A panic while it was locked leaves a valid map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pass: dispatches the tasks again whose messages were lost.
pub async fn pass(
    db: &Database,
    publisher: &Publisher,
    relay: &RelaySignal,
    swallowed: &Swallowed,
) -> Result<(), PassError> {
    let mut failures = Failures::default();
    for kind in TaskKind::ALL {
        let is_empty = matches!(publisher.depth(kind).await, Ok(0));
        match redispatch(db, kind, is_empty).await {
            Ok(again) if again.is_empty() => {}
            Ok(again) => {
                info!(%kind, count = again.len(), "dispatched again tasks whose messages got lost");
                relay.wake();
                copy_to_all_consumers(publisher, kind, &again, swallowed).await;
            }
            Err(error) => failures.note(kind, error)?,
        }
    }
    failures.into_result()
}

async fn redispatch(db: &Database, kind: TaskKind, is_empty: bool) -> DbResult<Vec<Redispatched>> {
    db.write(move |conn| {
        let now = db::now(conn)?;
        let mut before = now - PATIENCE;
        if !is_empty {
            match store::latest_claimed(conn, kind)? {
                Some(latest) => before = before.min(latest - store::LATE),
                None => return Ok(Vec::new()),
            }
        }
        let mut again = Vec::new();
        for waiting in store::waiting_since(conn, kind, before, BATCH)? {
            again.extend(store::redispatch(conn, waiting, now)?);
        }
        Ok(again)
    })
    .await
}

/// Logs the tasks whose messages are swallowed, and publishes as many copies of each message as the
/// queue has consumers. The queue delivers to its consumers in turn, so that a healthy one gets a
/// copy.
async fn copy_to_all_consumers(
    publisher: &Publisher,
    kind: TaskKind,
    again: &[Redispatched],
    swallowed: &Swallowed,
) {
    let is_swallowed = |again: &&Redispatched| again.redispatches >= SWALLOWED;
    let tasks: Vec<_> = again.iter().filter(is_swallowed).collect();
    if tasks.is_empty() {
        return;
    }
    let consumers = match publisher.consumers(kind).await {
        Ok(consumers) => usize::try_from(consumers).unwrap_or(COPIES).clamp(1, COPIES),
        // The relay publishes one when the queue is available again.
        Err(error) => {
            debug!(%error, "cannot count the consumers of a queue");
            1
        }
    };
    for Redispatched { dispatch, redispatches } in &tasks {
        let task_id = dispatch.message.task_id;
        swallowed.note(task_id);
        warn!(
            %task_id, %kind, redispatches, consumers,
            "the task was dispatched {redispatches} times without a claim: consumers of its queue \
             swallow messages. Restart the workers that GET /v1/workers does not show as \
             online, and close connections to the broker that belong to no worker"
        );
    }
    let copies = tasks
        .iter()
        .take(COPIES / consumers)
        .flat_map(|again| std::iter::repeat_n((kind, again.dispatch.message), consumers));
    let copies: Vec<_> = copies.collect();
    let lost = publisher.publish(&copies).await.into_iter().filter(Result::is_err).count();
    debug!(%kind, copies = copies.len(), lost, "sent messages to every consumer");
}

/// Fills the in-process queue after the start of its process.
pub async fn fill(db: &Database) -> DbResult<()> {
    // Releases the rows that the previous process was about to publish.
    db.write(store::free_all).await?;
    let mut after: Option<TaskId> = None;
    loop {
        let last = db
            .write(move |conn| {
                let now = db::now(conn)?;
                let waiting = store::without_row(conn, after, BATCH)?;
                for waiting in &waiting {
                    store::redispatch(conn, *waiting, now)?;
                }
                Ok(waiting.last().map(|waiting| waiting.id))
            })
            .await?;
        match last {
            Some(id) => after = Some(id),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use common::queue::{Message, Queue};
    use common::report::{LEASE, WorkerId};
    use common::task::UserId;
    use common::task::spec::{CsvAggregationSpec, TaskSpec};
    use diesel::prelude::*;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests, queue};
    use crate::db::own::OwnDatabase;
    use crate::db::schema;
    use crate::dispatch::relay;
    use crate::tasks::outbox;
    use crate::tasks::store as tasks;

    backend_tests![
        a_message_is_missing_when_the_queue_is_empty,
        a_waiting_message_is_not_missing,
        a_message_is_missing_when_a_later_redispatch_is_processed,
        a_swallowed_task_is_reported_until_it_is_queued_again,
    ];

    const KIND: TaskKind = TaskKind::CsvAggregation;

    struct Fixture {
        own: OwnDatabase,
        queue: Queue,
        publisher: Publisher,
        swallowed: Swallowed,
    }

    impl Fixture {
        async fn new(backend: Backend) -> Self {
            let own = OwnDatabase::migrated(backend).await;
            let queue = queue(backend);
            let publisher = queue.publisher();
            Self { own, queue, publisher, swallowed: Swallowed::default() }
        }

        /// A queued task whose message was published `age` ago.
        async fn dispatched(&self, age: Duration) -> TaskId {
            let id = TaskId::new();
            let insert = self.own.db.write(move |conn| {
                let now = db::now(conn)?;
                let spec = TaskSpec::CsvAggregation(CsvAggregationSpec::default());
                let owner = UserId(Uuid::nil());
                tasks::insert_initializing(conn, id, owner, &spec, "a.csv", now, now)?;
                if let Some(task) = tasks::find(conn, id)? {
                    tasks::enqueue(conn, &task, &tasks::Enqueue::default(), now - age, now - age)?;
                }
                Ok(())
            });
            insert.await.unwrap();
            id
        }

        /// Simulates that the relay published the message of a redispatched task `age` ago.
        async fn published(&self, id: TaskId, age: Duration) {
            let published = self.own.db.write(move |conn| {
                let before = db::now(conn)? - age;
                outbox::remove(conn, id)?;
                let task = schema::tasks::table.find(db::Id(id.0));
                diesel::update(task).set(schema::tasks::dispatched_at.eq(before)).execute(conn)?;
                Ok(())
            });
            published.await.unwrap();
        }

        async fn redispatches(&self, id: TaskId) -> i32 {
            let column = self.own.db.read(move |conn| {
                let task = schema::tasks::table.find(db::Id(id.0));
                Ok(task.select(schema::tasks::redispatches).first(conn)?)
            });
            column.await.unwrap()
        }

        async fn is_in_outbox(&self, id: TaskId) -> bool {
            let found = self.own.db.read(move |conn| {
                let row = schema::outbox::table.find(db::Id(id.0)).select(schema::outbox::kind);
                Ok(row.first::<String>(conn).optional()?)
            });
            found.await.unwrap().is_some()
        }

        async fn claim(&self, id: TaskId) {
            let claim = self.own.db.write(move |conn| {
                let now = db::now(conn)?;
                let mut task = tasks::find(conn, id)?.expect("the task exists");
                tasks::claim(conn, &mut [&mut task], WorkerId(Uuid::nil()), now, now + LEASE)
            });
            claim.await.unwrap();
        }

        /// Another message waits in the queue.
        async fn fill_queue(&self) {
            let message = Message { task_id: TaskId::new(), dispatch: 1 };
            self.publisher.publish(&[(KIND, message)]).await;
        }

        async fn dispatch_after_pass(&self, id: TaskId) -> u32 {
            let relay = RelaySignal::default();
            pass(&self.own.db, &self.publisher, &relay, &self.swallowed).await.unwrap();
            let task = self.own.db.read(move |conn| tasks::find(conn, id)).await.unwrap();
            task.unwrap().dispatch
        }
    }

    const OLD: Duration = Duration::from_secs(61);

    async fn a_message_is_missing_when_the_queue_is_empty(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let lost = fixture.dispatched(OLD).await;
        let fresh = fixture.dispatched(Duration::from_secs(50)).await;
        assert_eq!(fixture.dispatch_after_pass(lost).await, 2);
        assert_eq!(fixture.dispatch_after_pass(fresh).await, 1);
        assert_eq!(fixture.dispatch_after_pass(lost).await, 2, "its outbox row is not doubled");
    }

    async fn a_waiting_message_is_not_missing(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let waiting = fixture.dispatched(OLD).await;
        fixture.fill_queue().await;
        assert_eq!(fixture.dispatch_after_pass(waiting).await, 1);
        let earlier = fixture.dispatched(2 * OLD).await;
        fixture.claim(earlier).await;
        assert_eq!(fixture.dispatch_after_pass(waiting).await, 1, "an earlier one was claimed");
        let later = fixture.dispatched(Duration::ZERO).await;
        fixture.claim(later).await;
        assert_eq!(fixture.dispatch_after_pass(waiting).await, 2, "a later one was claimed");
    }
    async fn a_message_is_missing_when_a_later_redispatch_is_processed(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        // Both have waited for long and were redispatched, so no task that was queued later is
        // claimed.
        let swallowed = fixture.dispatched(3 * OLD).await;
        let claimed = fixture.dispatched(4 * OLD).await;
        fixture.published(swallowed, 2 * OLD).await;
        fixture.published(claimed, OLD).await;
        fixture.fill_queue().await;
        assert_eq!(fixture.dispatch_after_pass(swallowed).await, 1);
        fixture.claim(claimed).await;
        assert_eq!(fixture.dispatch_after_pass(swallowed).await, 2);
    }

    async fn a_swallowed_task_is_reported_until_it_is_queued_again(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let id = fixture.dispatched(OLD).await;
        for again in 1..=SWALLOWED {
            assert_eq!(fixture.swallowed.count(), 0, "{again}");
            assert_eq!(fixture.dispatch_after_pass(id).await, 1 + again);
            fixture.published(id, OLD).await;
        }
        assert_eq!(fixture.swallowed.count(), 1);
        assert_eq!(fixture.redispatches(id).await, 3);
        fixture.claim(id).await;
        let requeued = fixture.own.db.write(move |conn| {
            let now = db::now(conn)?;
            let task = tasks::find(conn, id)?.expect("the task exists");
            tasks::enqueue(conn, &task, &tasks::Enqueue::default(), now, now)
        });
        assert!(requeued.await.unwrap());
        assert_eq!(fixture.redispatches(id).await, 0);
    }

    /// Workers that hang keep their deliveries.
    #[tokio::test]
    async fn a_swallowed_message_reaches_a_healthy_consumer() {
        let fixture = Fixture::new(Backend::Fleet).await;
        let shutdown = CancellationToken::new();
        let (db, signal) = (fixture.own.db.clone(), RelaySignal::default());
        let relay =
            tokio::spawn(relay::run(db, fixture.publisher.clone(), signal, shutdown.clone()));
        // The first message creates the queue.
        fixture.fill_queue().await;
        let hang = |mut consumer: common::queue::Consumer| {
            tokio::spawn(async move {
                let mut kept = Vec::new();
                loop {
                    kept.push(consumer.next().await);
                }
            })
        };
        let workers: Vec<_> = (0..16).map(|_| hang(fixture.queue.consumer(&[KIND], 100))).collect();
        let mut working = fixture.queue.consumer(&[KIND], 100);
        let deadline = Instant::now() + Duration::from_secs(30);
        let polled = async |working: &mut common::queue::Consumer| {
            tokio::time::timeout(Duration::from_millis(100), working.next()).await.ok()
        };
        while fixture.publisher.consumers(KIND).await.unwrap() < 17 {
            // The message that fills the queue may be delivered here.
            let _ = polled(&mut working).await;
            assert!(Instant::now() < deadline, "not all consumers have subscribed");
        }
        let id = fixture.dispatched(OLD).await;
        let mut times = 0;
        let delivery = loop {
            assert!(
                times < SWALLOWED,
                "it was dispatched {times} times, and reached no healthy consumer"
            );
            times += 1;
            assert_eq!(fixture.dispatch_after_pass(id).await, 1 + times);
            let mut received = None;
            while received.is_none() && fixture.is_in_outbox(id).await {
                assert!(Instant::now() < deadline, "it is never published");
                received = polled(&mut working).await;
            }
            if times == SWALLOWED && received.is_none() {
                received = tokio::time::timeout(Duration::from_secs(10), working.next()).await.ok();
            }
            if let Some(received) = received {
                break received;
            }
            fixture.published(id, OLD).await;
        };
        assert_eq!(delivery.message().task_id, id);
        workers.into_iter().for_each(|worker| worker.abort());
        shutdown.cancel();
        relay.await.unwrap();
    }
}
