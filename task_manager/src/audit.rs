//! The audit log: sign-ups, logins and refused logins, interrupts and deletions, with their users.
//!
//! Its lines have a target of their own in the log, so that they can be filtered
//! (`log = "warn,audit=info"`). They name users, addresses and tasks, never a password or token.

/// The target of every line.
pub const TARGET: &str = "audit";
