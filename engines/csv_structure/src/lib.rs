#![doc = include_str!("../README.md")]

mod block_ends;
mod instruction_set;
mod masks;
mod padded;
mod structure;

pub use block_ends::Bound;
pub use instruction_set::{prefetch, vectorised};
pub use masks::{BLOCK, Syntax};
pub use padded::PaddedBuffer;
pub use structure::{Bounds, Scan, bounds, scan};
