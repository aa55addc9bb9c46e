//! Results of aggregations read as JSON: their first or largest rows, and series over time.
//!
//! # Invariants
//! - A file is read once, forwards and in pieces; memory is bounded whatever its size.
//! - Few files are read at a time. Reading ends when the request is dropped.
//!
//! # Not here
//! Downloads (`api::routes::downloads`); which output is the result (`tasks::outputs`).

pub mod preview;
mod reading;
pub mod series;

pub use reading::ResultFiles;

use csv_input::{InputError, Record, value_excerpt};

use crate::error::Error;

/// The length of a value shown, in characters.
const MAX_VALUE: usize = 1_000;

/// Why a result could not be read as JSON.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    Input(InputError),
    /// The file is not the result of such an aggregation: the reason.
    Damaged(String),
    /// The request is invalid or cannot be answered.
    Refused(Error),
}

impl From<InputError> for ReadError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

/// The sum in a column.
fn sum(record: &Record<'_>, column: usize) -> Result<i64, ReadError> {
    let field = record.field(column);
    let number = str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let (value, line) = (value_excerpt(field), record.line);
        ReadError::Damaged(format!("`{value}` in line {line} is not a sum"))
    })
}
