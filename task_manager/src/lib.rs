//! The task manager: a REST API that stores tasks in a database and dispatches them to workers.
//!
//! # Invariants
//! - The database is the truth; the queue is a wake-up.
//! - Accepted means durable: task, outbox row and file are on disk before the response.
//!
//! # Not here
//! The work itself (`data_processor`), the queue and the storage (`common`).

mod accounts;
mod api;
mod app;
mod audit;
#[cfg(test)]
#[path = "../tests/api/backend.rs"]
mod backend;
mod backfill;
mod background;
mod backlog;
pub mod config;
mod db;
mod dispatch;
mod error;
mod file_source;
mod folding;
mod group_commit;
mod idempotency;
mod kinds;
mod lifecycle;
mod live;
mod locks;
mod log_fields;
mod log_once;
mod metrics;
mod paging;
mod passes;
mod results;
mod strict_json;
mod tasks;
mod views;
mod workers;

pub use api::router::document as openapi_document;
pub use app::{Server, create_administrator, migrate};
