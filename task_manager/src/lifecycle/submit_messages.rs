//! Accepts messages: concurrent ones share a transaction.
//!
//! # Invariants
//! - A user's request counter rises by one with each message that is accepted, in the transaction
//!   of its task: the counts have neither gaps nor repeats.

use std::collections::BTreeMap;

use common::message::Draw;
use common::task::spec::{MessageValidationSpec, TaskSpec};
use common::task::{TaskKind, TaskView, UserId};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{Database, DbConnection, DbResult};
use crate::dispatch::relay::RelaySignal;
use crate::error::Error;
use crate::group_commit::GroupCommit;
use crate::idempotency::{Answering, IdempotencyKeys, IdempotentRequest};
use crate::kinds::message_validation::{check, store};
use crate::metrics::metrics;
use crate::tasks::outbox::Dispatch;
use crate::tasks::submissions::{self, NewTask};
use crate::views;

/// Accepts messages. Clones share everything.
#[derive(Debug, Clone)]
pub struct Messages {
    submissions: GroupCommit<Submission, Queued>,
    keys: IdempotencyKeys,
}

/// A message to accept.
#[derive(Debug, Clone)]
struct Submission {
    user: UserId,
    message: String,
    draw: Draw,
    answering: Answering,
}

/// Its result.
#[derive(Debug)]
struct Queued {
    accepted: AcceptedMessage,
    dispatch: Dispatch,
}

/// A message that was accepted for validation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AcceptedMessage {
    /// The task that validates it.
    #[serde(flatten)]
    pub task: TaskView,
    /// 1 for the user's first message, 2 for the second.
    #[schema(example = 1)]
    pub request_count: u64,
}

impl Messages {
    /// Starts to accept messages.
    pub fn start(db: Database, keys: IdempotencyKeys, relay: RelaySignal) -> Self {
        let committed = move |group: &[Queued]| {
            metrics().tasks_accepted(TaskKind::MessageValidation, group.len() as u64);
            relay.publish_directly(group.iter().map(|queued| queued.dispatch));
        };
        Self { submissions: GroupCommit::writing(db, accept, committed), keys }
    }

    /// Accepts a message; it is validated asynchronously.
    pub async fn submit(
        &self,
        user: UserId,
        message: String,
        request_key: IdempotentRequest,
    ) -> Result<AcceptedMessage, Error> {
        check(&message).map_err(|reason| Error::invalid("message", reason))?;
        let draw = Draw(rand::rng().random_range(Draw::RANGE));
        let submit = |answering| async move {
            let submission = Submission { user, message, draw, answering };
            Ok(self.submissions.submit(submission).await?.accepted)
        };
        self.keys.once(request_key, submit).await
    }
}

/// Creates the tasks of messages, in the caller's transaction.
fn accept(conn: &mut DbConnection, group: &[Submission]) -> DbResult<Vec<Queued>> {
    // In the order of the users, so that two groups cannot deadlock.
    let mut arrived: BTreeMap<Uuid, u64> = BTreeMap::new();
    for submission in group {
        *arrived.entry(submission.user.0).or_default() += 1;
    }
    let (mut counters, mut now) = (BTreeMap::new(), None);
    for (user, count) in arrived {
        let (raised, raised_at) = store::raise_counter(conn, UserId(user), count)?;
        counters.insert(user, raised - count);
        now = now.max(Some(raised_at));
    }
    let Some(now) = now else { return Ok(Vec::new()) };
    let mut counts = Vec::with_capacity(group.len());
    let mut tasks = Vec::with_capacity(group.len());
    for Submission { user, message, draw, .. } in group {
        let counter = counters.entry(user.0).or_default();
        *counter += 1;
        counts.push(*counter);
        let spec = TaskSpec::MessageValidation(MessageValidationSpec {
            user_id: *user,
            message: message.clone(),
            number: draw.0,
            request_count: *counter,
        });
        tasks.push(NewTask { owner: *user, spec });
    }
    let tasks = submissions::submit_reserved(conn, tasks, now)?;
    let dispatches = submissions::dispatches(&tasks);
    let tasks = views::of_submitted(conn, tasks)?;
    let accepted = tasks
        .into_iter()
        .zip(counts)
        .map(|(task, request_count)| AcceptedMessage { task, request_count });
    let queued: Vec<_> = accepted
        .zip(dispatches)
        .map(|(accepted, dispatch)| Queued { accepted, dispatch })
        .collect();
    for (Submission { answering, .. }, Queued { accepted, .. }) in group.iter().zip(&queued) {
        answering.store(conn, accepted)?;
    }
    Ok(queued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;

    backend_tests![messages_of_several_users_are_counted_per_user];

    const USER: UserId = UserId(Uuid::from_u128(1));
    const STRANGER: UserId = UserId(Uuid::from_u128(2));

    async fn messages_of_several_users_are_counted_per_user(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let submission = |user| Submission {
            user,
            message: "hi".to_owned(),
            draw: Draw(1),
            answering: Answering::default(),
        };
        let group = [USER, STRANGER, USER, USER, STRANGER].map(submission);
        let again = group.clone();
        let queued = own.db.write(move |conn| accept(conn, &group)).await.unwrap();
        let counts = |queued: &[Queued]| -> Vec<u64> {
            queued.iter().map(|queued| queued.accepted.request_count).collect()
        };
        assert_eq!(counts(&queued), [1, 1, 2, 3, 2]);
        let places: Vec<_> = queued.iter().map(|one| one.accepted.task.queue_position).collect();
        assert_eq!(places, [Some(1), Some(2), Some(3), Some(4), Some(5)]);
        let queued = own.db.write(move |conn| accept(conn, &again)).await.unwrap();
        assert_eq!(counts(&queued), [4, 3, 5, 6, 4]);
    }
}
