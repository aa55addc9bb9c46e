//! Queued tasks whose message got lost are put in the queue again. The queue is only a wake-up:
//! one message too many is refused by its dispatch number.

use std::time::Duration;

use common::queue::Publisher;
use common::task::{TaskId, TaskKind};
use tracing::info;

use super::relay::RelaySignal;
use super::store;
use crate::db::{self, Database, DbResult};

/// A message that was put in the queue less than this ago is not missed yet.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many tasks are dispatched again in one pass, so that a long queue is not doubled.
const BATCH: i64 = 1_000;

/// One pass: dispatches again what must have been lost. A message is only missed once a later one
/// of its kind was claimed, or the queue is empty: until then it may just wait its turn.
pub async fn pass(db: &Database, publisher: &Publisher, relay: &RelaySignal) -> DbResult<()> {
    for kind in TaskKind::ALL {
        let is_empty = matches!(publisher.depth(kind).await, Ok(0));
        let count = db
            .write(move |conn| {
                let now = db::now(conn)?;
                let mut before = now - PATIENCE;
                if !is_empty {
                    match store::latest_claimed(conn, kind)? {
                        Some(latest) => before = before.min(latest - store::LATE),
                        None => return Ok(0),
                    }
                }
                let lost = store::waiting_since(conn, kind, before, BATCH)?;
                for waiting in &lost {
                    store::dispatch_again(conn, kind, *waiting, now)?;
                }
                Ok(lost.len())
            })
            .await?;
        if count > 0 {
            info!(%kind, count, "dispatched again tasks whose messages got lost");
            relay.wake();
        }
    }
    Ok(())
}

/// Fills a queue that is empty because its process, the only one there is, has just started.
pub async fn fill(db: &Database) -> DbResult<()> {
    // What the process before had still to publish.
    db.write(store::free_all).await?;
    let mut after: Option<TaskId> = None;
    loop {
        let last = db
            .write(move |conn| {
                let now = db::now(conn)?;
                let waiting = store::without_row(conn, after, BATCH)?;
                for (kind, waiting) in &waiting {
                    store::dispatch_again(conn, *kind, *waiting, now)?;
                }
                Ok(waiting.last().map(|(_, waiting)| waiting.id))
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
    use common::queue::Message;
    use common::report::{LEASE, WorkerId};
    use common::task::UserId;
    use common::task::spec::{CsvAggregationSpec, TaskSpec};
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests, queue};
    use crate::db::own::OwnDatabase;
    use crate::tasks::store as tasks;

    backend_tests![
        a_message_is_missed_when_the_queue_is_empty,
        a_message_that_waits_its_turn_is_not_missed,
    ];

    const KIND: TaskKind = TaskKind::CsvAggregation;

    struct Fixture {
        own: OwnDatabase,
        publisher: Publisher,
    }

    impl Fixture {
        async fn new(backend: Backend) -> Self {
            let own = OwnDatabase::migrated(backend).await;
            let publisher = queue(backend).publisher();
            Self { own, publisher }
        }

        /// A queued task whose message was put in the queue `age` ago.
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

        async fn claim(&self, id: TaskId) {
            let claim = self.own.db.write(move |conn| {
                let now = db::now(conn)?;
                let mut task = tasks::find(conn, id)?.expect("it is there");
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
            pass(&self.own.db, &self.publisher, &RelaySignal::default()).await.unwrap();
            let task = self.own.db.read(move |conn| tasks::find(conn, id)).await.unwrap();
            task.unwrap().dispatch
        }
    }

    const OLD: Duration = Duration::from_secs(61);

    async fn a_message_is_missed_when_the_queue_is_empty(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let lost = fixture.dispatched(OLD).await;
        let fresh = fixture.dispatched(Duration::from_secs(50)).await;
        assert_eq!(fixture.dispatch_after_pass(lost).await, 2);
        assert_eq!(fixture.dispatch_after_pass(fresh).await, 1);
        assert_eq!(fixture.dispatch_after_pass(lost).await, 2, "its outbox row is not doubled");
    }

    async fn a_message_that_waits_its_turn_is_not_missed(backend: Backend) {
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
}
