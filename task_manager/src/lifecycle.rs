//! The life of a task: one use case per file, each with one or a few transactions.
//!
//! # Not here
//! Differences between kinds (`kinds`), rows and states (`tasks`), publishing (`dispatch`).

pub mod bulk_actions;
pub mod bulk_messages;
pub mod claim;
pub mod delete;
pub mod expire_leases;
pub mod interrupt;
pub mod purge;
pub mod report;
pub mod resumable;
pub mod retention;
pub mod roll_back;
pub mod run_again;
pub mod schedules;
pub mod submit_messages;
pub mod submit_user_events;
pub mod sweep;
pub mod upload;
pub mod wakeups;
