//! Lines, words and characters of text, as fast as it can be read.
//!
//! # What is counted
//! - A **line** is a `\n` byte.
//! - A **word** is a longest run of characters that are not white space, which is Unicode's property
//!   `White_Space`.
//! - A **character** is a Unicode scalar value. Where the text is not UTF-8, each longest sequence
//!   that [`String::from_utf8_lossy`] replaces is one character, and no white space.
//!
//! # Invariants
//! - The counts depend on the bytes alone: not on how they are cut into parts, nor on where the
//!   parts were counted.
//! - Memory is bounded: nothing is kept of the text but three bytes at each end of a part.
//!
//! # Not here
//! Reading, hashing, and what is text at all: the caller knows.

mod kernel;
mod partial;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use partial::{Counts, Partial};
