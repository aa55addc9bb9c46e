//! What every route shares: connections, who calls, bodies and queries, ids and problem documents.

pub mod accepted;
pub mod access;
pub mod address;
pub mod body;
pub mod conditional;
pub mod connection;
pub mod content_encoding;
pub mod detached;
pub mod host;
pub mod idempotency;
pub mod json;
pub mod middleware;
pub mod negotiation;
pub mod query;
pub mod same_machine;
pub mod server;
