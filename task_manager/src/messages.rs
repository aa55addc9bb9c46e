//! Messages: what users send, the tasks that validate it, and what was accepted.
//!
//! # Invariants
//! - A user's request counter rises by one with each message that is accepted for validation, in
//!   the transaction of its task: the counts have neither gaps nor repeats.
//! - A message is tracked once, in the transaction that accepts its task's completion.
//! - Tracked messages stay until their task is deleted; the expiry of a task leaves its message.
//!
//! # Not here
//! The validation (`data_processor`); what is loaded in bulk (`bulk`).

pub mod bulk;
mod normal;
pub mod reindexing;
pub mod search;
mod snippet;
pub mod store;
pub mod terms;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::message::{Category, Draw, MAX_MESSAGE, Validation};
use common::task::spec::{MessageValidationSpec, TaskSpec};
use common::task::{TaskView, UserId};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{Database, DbConnection, DbError, DbResult};
use crate::dispatch::relay::RelaySignal;
use crate::error::Error;
use crate::group_commit::GroupCommit;
use crate::idempotency::{Answering, Keys, Repeatable};
use crate::tasks::Task;
use crate::tasks::outbox::Dispatch;
use crate::tasks::submissions::{self, NewTask};

/// Takes messages. Clones share everything.
#[derive(Debug, Clone)]
pub struct Messages {
    submissions: GroupCommit<Submission, Queued>,
    keys: Keys,
}

/// A message that arrived.
#[derive(Debug, Clone)]
struct Submission {
    user: UserId,
    message: String,
    draw: Draw,
    answering: Answering,
}

/// What became of it.
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
    /// The how-manieth message of the user it is, from 1.
    #[schema(example = 1)]
    pub request_count: u64,
}

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrackedMessage {
    /// Its id: that of the task which validated it, unless it was loaded in bulk.
    pub id: Uuid,
    /// Who sent it.
    pub user_id: Uuid,
    /// The message.
    #[schema(example = "The parcel has arrived.")]
    pub message: String,
    /// The how-manieth message of the user it is; `null` where it was loaded without one.
    #[schema(example = 1)]
    pub request_count: Option<u64>,
    /// How it was accepted.
    pub category: Category,
    /// When it was accepted, UTC.
    pub created_at: DateTime<Utc>,
    /// The part of the message around the first found word, with all found words between `**`;
    /// plain text, not escaped for HTML. `null` where no text was looked for.
    #[schema(example = "The **parcel** has arrived.")]
    pub snippet: Option<String>,
}

impl Messages {
    /// Takes messages from now on.
    pub fn start(db: Database, keys: Keys, relay: RelaySignal) -> Self {
        let committed = move |group: &[Queued]| {
            relay.hand_over(group.iter().map(|queued| queued.dispatch));
        };
        Self { submissions: GroupCommit::writing(db, accept, committed), keys }
    }

    /// Accepts a message; it is validated after the answer.
    pub async fn submit(
        &self,
        user: UserId,
        message: String,
        repeatable: Repeatable,
    ) -> Result<AcceptedMessage, Error> {
        check(&message).map_err(|reason| Error::invalid("message", reason))?;
        let draw = Draw(rand::rng().random_range(Draw::RANGE));
        let submit = |answering| async move {
            let submission = Submission { user, message, draw, answering };
            Ok(self.submissions.submit(submission).await?.accepted)
        };
        self.keys.once(repeatable, submit).await
    }
}

/// What is wrong with a message.
fn check(message: &str) -> Result<(), String> {
    if message.trim().is_empty() {
        return Err("is empty; send at least one character that is not blank".to_owned());
    }
    if message.len() > MAX_MESSAGE {
        let length = message.len();
        return Err(format!("has {length} bytes as UTF-8; up to {MAX_MESSAGE} are taken"));
    }
    Ok(())
}

/// Makes tasks of messages, in one transaction, the caller's.
fn accept(conn: &mut DbConnection, group: &[Submission]) -> DbResult<Vec<Queued>> {
    // In the order of the users, so that two groups cannot wait for each other in a ring.
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
    let tasks = submissions::submit_held(conn, tasks, now)?;
    let dispatches = submissions::dispatches(&tasks);
    let tasks = submissions::views(conn, tasks)?;
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

/// The message that a worker validated, to be kept in the transaction that accepts the completion
/// (`store::insert`).
pub fn tracked(task: &Task, result: &Value, now: NaiveDateTime) -> DbResult<NewMessage> {
    let validation = Validation::deserialize(result).map_err(DbError::corrupt)?;
    let TaskSpec::MessageValidation(spec) = &task.spec else {
        return Err(DbError::corrupt("the task has no message"));
    };
    Ok(NewMessage {
        id: task.id.0,
        user: task.owner,
        message: spec.message.clone(),
        request_count: Some(spec.request_count),
        category: validation.category,
        created_at: now,
    })
}

/// A message to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub id: Uuid,
    pub user: UserId,
    pub message: String,
    pub request_count: Option<u64>,
    pub category: Category,
    pub created_at: NaiveDateTime,
}
