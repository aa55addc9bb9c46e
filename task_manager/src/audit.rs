//! The audit log: who signed up, logged in or was refused, interrupted or deleted what.
//!
//! Its lines are lines of the log under a target of their own, so that they can be kept apart
//! (`log = "warn,audit=info"`). They name users, addresses and tasks, never a password or token.

/// The target of every line.
pub const TARGET: &str = "audit";
