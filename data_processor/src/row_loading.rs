//! The engine of `data_upload`: reads the rows of a CSV file `name,email` in batches, from the
//! start of the file or from a checkpoint.
//!
//! # Invariants
//! - The rows depend on the file alone: a reader that resumes at any checkpoint returns the same
//!   rows, with the same numbers and lines, as a single pass.
//! - Every record of the file is a row of exactly one batch, loaded or rejected.
//! - A batch respects the limits of `common::report`. Memory is bounded by one batch and
//!   [`MAX_RECORD`] for any input.
//!
//! # Not here
//! Tasks, HTTP and storage: the caller opens the input and sends the batches.

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
pub use csv_input::{Dialect, DialectOptions, Encoding, MAX_FIELDS, MAX_RECORD, Position};

/// The work was interrupted before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Reads the whole file and returns its columns if every row is valid. After each row, `progress`
/// is called with the number of bytes read so far.
///
/// # Errors
/// The file or some of its rows are invalid, reading failed, or `progress` interrupted the work.
pub fn check(
    input: impl Read,
    dialect: DialectOptions,
    mut progress: impl FnMut(u64) -> Result<(), Interrupted>,
) -> Result<Columns, LoadError> {
    let mut rows = Rows::from_start(input, dialect)?;
    let mut bad = BadRows::default();
    while let Some(row) = rows.next()? {
        if let Err(rejected) = row.content {
            bad.add(|| rows.columns().error(&rejected));
        }
        progress(rows.position().offset)?;
    }
    match bad.count {
        0 => Ok(rows.columns().clone()),
        _ => Err(LoadError::BadRows(bad)),
    }
}
