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
