//! Where fields and records end in CSV, found 64 bytes at a time.
//!
//! Also here, since they too need what only the processor at hand has: [`vectorised`] and [`prefetch`].
//!
//! # Not here
//! What fields hold; reading files; CSV in which quotes stand where they do not belong, which is
//! only recognised.

mod ends;
mod masks;
mod processor;
mod structure;

pub use ends::Bound;
pub use masks::BLOCK;
pub use processor::{prefetch, vectorised};
pub use structure::{Bounds, Padded, Survey, bounds, survey};
