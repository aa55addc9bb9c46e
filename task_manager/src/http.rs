//! What every route shares: who calls, bodies and queries, ids and problem documents.

pub mod access;
pub mod body;
pub mod middleware;
pub mod negotiation;
pub mod query;
