//! What handlers read from requests.

pub mod address;
pub mod body;
pub mod detached;
pub mod file;
pub mod idempotency;
pub mod incoming;
pub mod parameters;
pub mod path;
pub mod query;
pub mod resumable;
pub mod task_filter;
pub mod upload;
