//! Accepts events of users: one task for each.
//!
//! # Invariants
//! - A request is accepted or refused as a whole, unless the database fails. The tasks of a chunk
//!   are created in one transaction.

use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskKind, UserId};
use common::user_event::UserEvent;
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::ToSchema;

use crate::db::{self, Database};
use crate::dispatch::relay::RelaySignal;
use crate::error::Error;
use crate::idempotency::{Answering, IdempotencyKeys, IdempotentRequest};
use crate::metrics::metrics;
use crate::tasks::submissions::{self, NewTask};

/// The most events that a request may contain or generate.
pub const MOST_EVENTS: usize = 10_000;
/// How many tasks one transaction creates: it should take about 50 ms.
const CHUNK: usize = 1_000;

/// Accepts events. Clones share everything.
#[derive(Debug, Clone)]
pub struct UserEvents {
    pub db: Database,
    pub keys: IdempotencyKeys,
    pub relay: RelaySignal,
}

/// Accepted events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedEvents {
    /// The tasks that record them, in the order of the events.
    pub task_ids: Vec<TaskId>,
}

impl UserEvents {
    /// Creates a task for each event of `owner`; a repeated request gets its stored answer.
    ///
    /// # Errors
    /// The database is not available. Events accepted before that are recorded nevertheless, so the
    /// request may be sent again: no event is recorded twice.
    pub async fn submit(
        &self,
        owner: UserId,
        events: Vec<UserEvent>,
        request_key: IdempotentRequest,
    ) -> Result<AcceptedEvents, Error> {
        self.keys.once(request_key, |answering| self.queue(owner, events, answering)).await
    }

    async fn queue(
        &self,
        owner: UserId,
        events: Vec<UserEvent>,
        answering: Answering,
    ) -> Result<AcceptedEvents, Error> {
        let mut accepted = AcceptedEvents { task_ids: Vec::with_capacity(events.len()) };
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let new_task = |event| NewTask { owner, spec: TaskSpec::UserEvent(event) };
            let chunk: Vec<NewTask> = events.by_ref().take(CHUNK).map(new_task).collect();
            // The answer is complete with the last chunk.
            let answering = events.peek().is_none().then(|| answering.clone());
            let before = accepted;
            let is_first = before.task_ids.is_empty();
            let queued = self.db.write(move |conn| {
                let now = db::now(conn)?;
                let mut accepted = before.clone();
                let tasks = submissions::submit_reserved(conn, chunk.clone(), now)?;
                accepted.task_ids.extend(tasks.iter().map(|task| task.id));
                if let Some(answering) = &answering {
                    answering.store(conn, &accepted)?;
                }
                Ok((accepted, submissions::dispatches(&tasks)))
            });
            let dispatches;
            (accepted, dispatches) = match queued.await {
                // The events before it are accepted already.
                Err(error) if !is_first && error.is_unavailable() => {
                    error!(%error, "a list of events was accepted only in part");
                    return Err(Error::OutcomeUnknown);
                }
                queued => queued?,
            };
            metrics().tasks_accepted(TaskKind::UserEvent, dispatches.len() as u64);
            self.relay.publish_directly(dispatches);
        }
        Ok(accepted)
    }
}
