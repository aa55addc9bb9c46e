//! From the outbox to the queue.
//!
//! # Invariants
//! - The relay takes no input, so a crash needs no recovery path; a notification only wakes it.
//! - A message too many changes nothing: a claim is refused by its dispatch number.
//!
//! # Not here
//! The rows of the outbox (`tasks::outbox`), and the decision when a task runs again (`lifecycle`).

mod direct_publish;
pub mod redispatch;
pub mod relay;
