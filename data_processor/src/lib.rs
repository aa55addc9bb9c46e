//! The worker: takes tasks from the queue, processes them and reports back over the REST API.
//!
//! It knows neither the database nor the API's users; `common::report` is all it says and hears.

pub mod aggregation;
mod backoff;
pub mod budget;
pub mod config;
pub mod csv_preview;
pub mod file_statistics;
pub mod health;
pub mod mail;
pub mod problems;
pub mod processor;
mod processors;
pub mod row_loading;
mod task_manager;
pub mod worker;
