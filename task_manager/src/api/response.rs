//! What handlers respond with.

pub mod accepted;
pub mod conditional;
pub mod negotiation;
pub mod resumable;
