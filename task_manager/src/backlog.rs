//! How much work waits: queued and running tasks by kind, and the outbox.
//!
//! # Not here
//! Tasks that have ended, which may be millions, and those of kinds that only another version knows.

mod store;

use chrono::NaiveDateTime;
use common::task::TaskKind;

use crate::db::{self, Database, DbResult};

/// The work that waits or is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Only kinds with queued or running tasks.
    pub kinds: Vec<KindBacklog>,
    pub outbox: OutboxBacklog,
}

/// The work of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindBacklog {
    pub kind: TaskKind,
    pub queued: u64,
    /// Since when the first one has been waiting. A task that is retried waits from its due time on.
    pub oldest_queued_at: Option<NaiveDateTime>,
    pub processing: u64,
}

impl KindBacklog {
    /// No work.
    fn of(kind: TaskKind) -> Self {
        Self { kind, queued: 0, oldest_queued_at: None, processing: 0 }
    }
}

/// The messages that are not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBacklog {
    /// Includes those that are due later.
    pub rows: u64,
    /// When the first one is or was due.
    pub oldest_due_at: Option<NaiveDateTime>,
    /// The time of the database at which this was read.
    pub read_at: NaiveDateTime,
}

impl OutboxBacklog {
    /// How long the first message has been due, in seconds.
    pub fn lag_seconds(&self) -> f64 {
        let lag = self.oldest_due_at.and_then(|due_at| (self.read_at - due_at).to_std().ok());
        lag.unwrap_or_default().as_secs_f64()
    }
}

/// Reads the backlog.
pub async fn read(db: &Database) -> DbResult<Backlog> {
    db.read(|conn| {
        let read_at = db::now(conn)?;
        let (rows, oldest_due_at) = store::outbox(conn)?;
        let kinds = store::by_kind(conn)?;
        Ok(Backlog { kinds, outbox: OutboxBacklog { rows, oldest_due_at, read_at } })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_that_are_due_later_have_no_lag() {
        let now = NaiveDateTime::default();
        let lag =
            |oldest_due_at| OutboxBacklog { rows: 1, oldest_due_at, read_at: now }.lag_seconds();
        assert_eq!(lag(None), 0.0);
        assert_eq!(lag(Some(now + Duration::from_secs(5))), 0.0);
        assert_eq!(lag(Some(now - Duration::from_millis(1500))), 1.5);
    }
}
