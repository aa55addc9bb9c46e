//! What every route shares: who calls, bodies and queries, ids and problem documents.

pub mod accepted;
pub mod access;
pub mod address;
pub mod body;
pub mod content_encoding;
pub mod cursor;
pub mod detached;
pub mod idempotency;
pub mod middleware;
pub mod negotiation;
pub mod query;
pub mod same_machine;
