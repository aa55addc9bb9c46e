//! Why records cannot be read.

use std::io;

use bytesize::ByteSize;

use crate::{MAX_FIELDS, MAX_RECORD};

/// Why the records of a file cannot be read. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file starts like something else.
    #[error("{0}")]
    NotCsv(String),
    /// A record is longer than [`MAX_RECORD`].
    #[error(
        "the row that starts on line {line} is longer than {}{}",
        ByteSize(MAX_RECORD).display().iec(),
        if *in_quotes { "; a quote opened in it seems never to be closed" } else { "" }
    )]
    RecordTooLong {
        /// Where it starts.
        line: u64,
        /// Whether the limit was reached inside quotes.
        in_quotes: bool,
    },
    /// A record has more than [`MAX_FIELDS`] fields.
    #[error("the row that starts on line {line} has more than {MAX_FIELDS} fields")]
    TooManyFields {
        /// Where it starts.
        line: u64,
    },
    /// The input could not be read.
    #[error("reading the input failed: {0}")]
    Read(#[source] io::Error),
}
