//! Transactional outbox: a committed task is published at least once.
//!
//! # Invariants
//! - `append` and `append_reserved` run inside the caller's transaction.
//! - A row is deleted only after the queue's confirm.
//! - A task has at most one row: that of its latest dispatch.
//! - A reserved row is published by the process that wrote it, and by any relay after
//!   [`RESERVATION`].
//!
//! # Not here
//! Publishing (`dispatch`).

pub mod store;

pub use store::{append, append_new, append_reserved, remove};

use std::time::Duration;

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::TaskKind;

use super::Task;

/// How long a row is reserved for the process that wrote it. Publishing takes some milliseconds; if
/// it takes longer than this, or the process dies first, a relay publishes it too.
pub const RESERVATION: Duration = Duration::from_secs(10);

/// A task to publish to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    pub kind: TaskKind,
    pub message: Message,
    /// It is not published before this time.
    pub due_at: NaiveDateTime,
}

impl Dispatch {
    /// The dispatch after the latest one of `task`.
    pub fn next_of(task: &Task, due_at: NaiveDateTime) -> Self {
        let message = Message { task_id: task.id, dispatch: task.dispatch + 1 };
        Self { kind: task.kind(), message, due_at }
    }
}
