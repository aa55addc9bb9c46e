//! The errors of an aggregation.

use std::io;

use bytesize::ByteSize;
use csv_input::{BadRows, Compression, HeaderError, InputError};

use crate::control::Interrupted;

/// Why an aggregation failed. Names and values of the input are shortened.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// The input is not CSV, or could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The input is compressed and could not be decompressed.
    #[error("the file cannot be unpacked as {compression}: {reason}; it is damaged or incomplete")]
    Unpack {
        /// The format that its first bytes name.
        compression: Compression,
        /// What is wrong with it.
        reason: String,
    },
    /// The input is compressed, and exceeds the permitted size once decompressed.
    #[error("unpacked, the file is larger than {}, which is the limit", ByteSize(*limit).display().iec())]
    UnpackedTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The options name no column to group by, or none to sum.
    #[error("name at least one column to group by and one to sum")]
    NoColumns,
    /// The header is invalid or lacks columns.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Rows are invalid, and the options do not permit to skip them.
    #[error("{0}")]
    BadRows(BadRows),
    /// A sum does not fit a 64-bit number.
    #[error(
        "the sum of `{column}` for the group `{group}` is {sum}, which is out of range: sums go \
         from {} to {}",
        i64::MIN,
        i64::MAX
    )]
    Overflow {
        /// The values of the group.
        group: String,
        /// The column that was summed.
        column: String,
        /// The exact sum.
        sum: i128,
    },
    /// The temporary files for spilled groups could not be written or read.
    #[error(
        "the groups need more memory than they may take, and moving them to temporary files \
         failed: {0}"
    )]
    Spill(#[source] io::Error),
    /// The aggregation was interrupted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// An output could not be written.
    #[error("writing the output failed: {0}")]
    Write(#[source] io::Error),
}

impl AggregationError {
    /// Converts an error of reading the input, which may wrap an [`AggregationError`].
    pub(crate) fn read(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(|error| InputError::Read(error).into())
    }

    /// Converts an error of a temporary file, which may wrap an interrupt.
    pub(crate) fn spill(error: io::Error) -> Self {
        match error.downcast::<Interrupted>() {
            Ok(interrupted) => Self::Interrupted(interrupted),
            Err(error) => Self::Spill(error),
        }
    }
}
