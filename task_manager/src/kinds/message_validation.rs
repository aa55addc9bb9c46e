//! Messages: submitted by users, validated by tasks, and tracked if valid.
//!
//! # Invariants
//! - A user's request counter rises by one with each message that is accepted for validation, in
//!   the transaction of its task: the counts have neither gaps nor repeats.
//! - A message is tracked once, in the transaction that accepts its task's completion.
//! - Tracked messages stay until their task is deleted; an expired task keeps its message.
//!
//! # Not here
//! Validation (`data_processor`), submission (`lifecycle`).

mod normalized;
pub mod reindexing;
pub mod search;
mod snippet;
pub mod store;
pub mod terms;
#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::message::{Category, MAX_MESSAGE, Validation};
use common::task::spec::TaskSpec;
use common::task::{TaskId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Kind, Records};
use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrackedMessage {
    /// Its id: that of the task that validated it, unless it was loaded in bulk.
    pub id: Uuid,
    /// Its sender.
    pub user_id: Uuid,
    /// The message.
    #[schema(example = "The parcel has arrived.")]
    pub message: String,
    /// 1 for the user's first message, 2 for the second; `null` if it was loaded without one.
    #[schema(example = 1)]
    pub request_count: Option<u64>,
    /// How it was validated.
    pub category: Category,
    /// When it was accepted, UTC.
    pub created_at: DateTime<Utc>,
    /// The part of the message around the first match, with all matches between `**`; plain text,
    /// not escaped for HTML. `null` unless the request searched for a text.
    #[schema(example = "The **parcel** has arrived.")]
    pub snippet: Option<String>,
}

/// Checks a message.
///
/// # Errors
/// The reason why it is invalid.
pub fn check(message: &str) -> Result<(), String> {
    if message.trim().is_empty() {
        return Err("is empty; send at least one character that is not blank".to_owned());
    }
    if message.len() > MAX_MESSAGE {
        let length = message.len();
        return Err(format!("has {length} bytes as UTF-8; up to {MAX_MESSAGE} are accepted"));
    }
    Ok(())
}

/// The kind `message_validation`.
pub struct MessageValidation;

impl Kind for MessageValidation {
    fn complete(
        &self,
        _conn: &mut DbConnection,
        task: &Task,
        reported: &Value,
        records: &mut Records,
        now: NaiveDateTime,
    ) -> DbResult<Value> {
        let validation = Validation::deserialize(reported).map_err(DbError::corrupt)?;
        let TaskSpec::MessageValidation(spec) = &task.spec else {
            return Err(DbError::corrupt("the task has no message"));
        };
        records.messages.push(NewMessage {
            id: task.id.0,
            user: task.owner,
            message: spec.message.clone(),
            request_count: Some(spec.request_count),
            category: validation.category,
            created_at: now,
        });
        Ok(reported.clone())
    }

    fn delete(&self, conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
        store::remove(conn, id)
    }
}

/// A message to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub id: Uuid,
    pub user: UserId,
    pub message: String,
    pub request_count: Option<u64>,
    pub category: Category,
    pub created_at: NaiveDateTime,
}
