//! The engine of `data_upload`: reads the rows of a CSV file `name,email` in batches that can be
//! loaded one after the other, from the start of the file or from where an earlier reading got to.
//!
//! # Invariants
//! - The rows depend on the file alone: a reading that goes on from any checkpoint gives the rows
//!   that one pass gives, with the same numbers and lines.
//! - Every record of the file is a row of exactly one batch, loaded or rejected.
//! - A batch holds to the limits of `common::report`; memory is bounded by one batch and
//!   [`MAX_RECORD`], whatever the input holds.
//!
//! # Not here
//! Tasks, HTTP and the storage: the caller opens the input and takes the batches.

mod batches;
mod error;
mod header;
mod row;
#[cfg(test)]
mod tests;

use std::io::Read;

use csv_input::BadRows;

pub use self::batches::{Batch, Batches};
pub use self::error::LoadError;
pub use self::header::{Columns, read_header};
pub use self::row::{MAX_NAME_CHARS, Row, Rows};
pub use csv_input::{MAX_FIELDS, MAX_RECORD, Place};

/// The work was to end before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Reads the whole file and returns its columns if every row is valid. `progress` gets the number
/// of bytes read so far, after each row.
///
/// # Errors
/// The file or rows of it are invalid, reading failed, or `progress` ended the work.
pub fn check(
    input: impl Read,
    mut progress: impl FnMut(u64) -> Result<(), Interrupted>,
) -> Result<Columns, LoadError> {
    let mut rows = Rows::from_start(input)?;
    let mut bad = BadRows::default();
    while let Some(row) = rows.next()? {
        if let Err(rejected) = row.content {
            bad.add(|| rows.columns().error(&rejected));
        }
        progress(rows.place().offset)?;
    }
    match bad.count {
        0 => Ok(rows.columns().clone()),
        _ => Err(LoadError::BadRows(bad)),
    }
}
