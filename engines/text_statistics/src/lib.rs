//! Counts lines, words and characters of text at memory speed.
//!
//! # What is counted
//! - A **line** is a `\n` byte.
//! - A **word** is a maximal run of characters without white space, that is, without Unicode's
//!   property `White_Space`.
//! - A **character** is a Unicode scalar value. Each invalid sequence that
//!   [`String::from_utf8_lossy`] replaces is also one character, which is not white space.
//!
//! # Invariants
//! - The counts depend on the bytes alone, and not on how they are split into parts.
//! - Memory is bounded: of each part, only the last three bytes and the first three are kept.
//!
//! # Not here
//! Reading, hashing, and the decision whether bytes are text.

mod kernel;
mod partial;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use partial::{Counts, Partial};
