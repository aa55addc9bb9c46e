#![doc = include_str!("../README.md")]

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod collect;
mod control;
mod csv_line;
mod error;
mod group;
mod options;
mod radix;
mod read;
mod run;
mod spill;
#[cfg(test)]
mod tests;
mod text;
mod watch;
mod words;
mod write;

pub use self::control::{Control, Interrupted, Outputs, WRITE_SIZE};
pub use self::error::AggregationError;
pub use self::options::{
    DEFAULT_MEMORY_LIMIT, DEFAULT_UNPACKED_LIMIT, NumberFormat, OnBadRow, Options, Thousands,
};
pub use self::run::{Summary, aggregate};
