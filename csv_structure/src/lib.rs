//! Where fields and records end in CSV, found 64 bytes at a time.
//!
//! # Not here
//! What fields hold; reading files; CSV in which quotes stand where they do not belong, which is
//! only recognised.

mod masks;
mod structure;

pub use masks::BLOCK;
pub use structure::{Bound, Bounds, Padded, Survey, bounds, survey, vectorised};
