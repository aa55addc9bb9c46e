//! Wakes passes early; they also poll.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::db::Database;
use crate::dispatch::relay::RelaySignal;
use crate::live::{Changes, OwnedTask};

/// Wakes the background passes. Clones wake the same ones.
#[derive(Debug, Clone, Default)]
pub struct Wakeups {
    relay: RelaySignal,
    rollbacks: Arc<Notify>,
    deletions: Arc<Notify>,
    changes: Changes,
}

impl Wakeups {
    /// Wakeups that publish changes through `changes`.
    pub fn new(changes: Changes) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Wakes all passes, since there may be something to publish, roll back or remove.
    pub fn wake(&self) {
        self.relay.wake();
        self.rollbacks.notify_one();
        self.deletions.notify_one();
    }

    /// Wakes all passes and publishes a task that its owner changed.
    pub async fn changed(&self, db: &Database, task: OwnedTask) {
        self.wake();
        self.changes.notify(db, task).await;
    }

    /// Wakes only the relay.
    pub fn relay(&self) -> &RelaySignal {
        &self.relay
    }

    /// Notified when there may be something to roll back.
    pub fn rollbacks(&self) -> Arc<Notify> {
        Arc::clone(&self.rollbacks)
    }

    /// Notified when there may be something to purge.
    pub fn deletions(&self) -> Arc<Notify> {
        Arc::clone(&self.deletions)
    }

    /// The changes that subscribers get.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }
}
