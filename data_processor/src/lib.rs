//! The worker: takes tasks from the queue, processes them and reports to the task manager over
//! REST, with the types of `common::report`.
//!
//! It has no access to the database, and does not know the users of the API.

pub mod aggregation;
mod backoff;
pub mod budget;
pub mod config;
pub mod csv_preview;
pub mod dialect;
pub mod file_statistics;
pub mod health;
pub mod mail;
pub mod metrics;
pub mod problems;
pub mod processor;
mod processors;
pub mod row_loading;
mod task_manager;
pub mod worker;
