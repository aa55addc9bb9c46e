//! Dispatch: publishes outbox rows to the queue.
//!
//! # Invariants
//! - The relay takes no input, so a crash needs no recovery path; a notification only wakes it.
//! - A surplus message changes nothing: its claim is refused because of its dispatch number.
//!
//! # Not here
//! The rows of the outbox (`tasks::outbox`), the decision to run a task again (`lifecycle`).

mod direct_publish;
pub mod redispatch;
pub mod relay;
