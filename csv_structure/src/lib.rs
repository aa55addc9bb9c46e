//! Where fields and records end in CSV, found 64 bytes at a time.
//!
//! Also here, since it needs the same look at the processor: [`vectorised`].
//!
//! # Not here
//! What fields hold; reading files; CSV in which quotes stand where they do not belong, which is
//! only recognised.

mod masks;
mod structure;

pub use masks::BLOCK;
pub use structure::{Bound, Bounds, Padded, Survey, bounds, survey, vectorised};
