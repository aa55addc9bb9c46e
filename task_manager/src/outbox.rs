//! Transactional outbox: a committed task is published at least once.
//!
//! # Invariants
//! - `append` runs inside the caller's transaction.
//! - A row is deleted only after the queue's confirm.
//! - The relay takes no input, so a crash needs no recovery path; a notification only wakes it.
//! - A task has one row at the most: the one of its latest dispatch.
//!
//! # Not here
//! Deciding when a task is to be run again (`leases`, `worker_api`, `tasks::interrupts`).

pub mod redispatch;
pub mod relay;
pub mod store;

pub use store::{append, append_new, remove};

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::TaskKind;

/// A task that is to be put in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    pub kind: TaskKind,
    pub message: Message,
    /// Not earlier than this.
    pub due_at: NaiveDateTime,
}
