#![doc = include_str!("../README.md")]

mod error;
mod records;
mod start;

pub use error::InputError;
pub use records::{MAX_FIELDS, MAX_RECORD, Place, Record, Records};
pub use start::{BOM, Packing, START_BYTES, check_start, packing};
