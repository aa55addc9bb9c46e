//! Transactional outbox: a committed task is published at least once.
//!
//! # Invariants
//! - `append` and `append_held` run inside the caller's transaction.
//! - A row is deleted only after the queue's confirm.
//! - The relay takes no input, so a crash needs no recovery path; a notification only wakes it.
//! - A task has one row at the most: the one of its latest dispatch.
//! - A row that is held is published by who wrote it (`handover`), and by any relay when that has not
//!   happened within [`HELD`].
//!
//! # Not here
//! Deciding when a task is to be run again (`leases`, `worker_api`, `tasks::interrupts`).

mod handover;
pub mod redispatch;
pub mod relay;
pub mod store;

pub use store::{append, append_held, append_new, remove};

use std::time::Duration;

use chrono::NaiveDateTime;
use common::queue::Message;
use common::task::TaskKind;

/// How long a row is held for who wrote it. Publishing takes some milliseconds; should it take longer than
/// this, or the process die before, others publish it too.
pub const HELD: Duration = Duration::from_secs(10);

/// A task that is to be put in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    pub kind: TaskKind,
    pub message: Message,
    /// Not earlier than this.
    pub due_at: NaiveDateTime,
}
