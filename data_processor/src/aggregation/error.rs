//! Why an aggregation did not end well.

use std::io;

use bytesize::ByteSize;
use common::plural::plural;
use common::problem::{ErrorLocation, MAX_LISTED_ERRORS, Problem};
use csv_input::Packing;

use crate::aggregation::control::Interrupted;

/// The bad rows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRows {
    /// How many there are.
    pub count: u64,
    /// The first 100 of them.
    pub first: Vec<ErrorLocation>,
}

impl BadRows {
    pub(crate) fn add(&mut self, location: impl FnOnce() -> ErrorLocation) {
        self.count += 1;
        if self.first.len() < MAX_LISTED_ERRORS {
            self.first.push(location());
        }
    }

    /// Adds those of rows behind these.
    pub(crate) fn append(&mut self, later: Self) {
        self.count += later.count;
        let room = MAX_LISTED_ERRORS - self.first.len();
        self.first.extend(later.first.into_iter().take(room));
    }
}

/// Why an aggregation did not end well. The names and values of the input in it are shortened.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// The file starts like something else.
    #[error("{0}")]
    NotCsv(String),
    /// The input is compressed, and cannot be unpacked.
    #[error("the file cannot be unpacked as {packing}: {reason}; it is damaged or incomplete")]
    Unpack {
        /// What its first bytes say.
        packing: Packing,
        /// What is wrong with it.
        reason: String,
    },
    /// The input is compressed, and larger than it may be when it is unpacked.
    #[error("unpacked, the file is larger than {}, which is the limit", ByteSize(*limit).display().iec())]
    UnpackedTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no header.
    #[error("the file is empty: it has no header and no rows")]
    EmptyFile,
    /// A quote is opened in the header and never closed.
    #[error("a quote is opened in the header (line {line}) and never closed")]
    UnterminatedHeader {
        /// Where the header starts, from 1.
        line: u64,
    },
    /// A name in the header is not UTF-8.
    #[error("`{value}` in the header is not UTF-8 text; save the file as UTF-8")]
    HeaderNotUtf8 {
        /// Where the header starts, from 1.
        line: u64,
        /// The position of the name, from 1.
        column: u64,
        /// The name.
        value: String,
    },
    /// The header lacks columns that are needed.
    #[error("{}", missing_columns(missing, present, *more))]
    MissingColumns {
        /// Where the header starts, from 1.
        line: u64,
        /// The columns that are not there.
        missing: Vec<String>,
        /// The first columns that are there.
        present: Vec<String>,
        /// How many further ones are there.
        more: u64,
    },
    /// A column that is needed is there more than once.
    #[error(
        "the header has the column `{name}` more than once (as columns {first} and {second}), \
         so it is not clear which one is meant"
    )]
    RepeatedColumn {
        /// Where the header starts, from 1.
        line: u64,
        /// The column.
        name: String,
        /// Its first position, from 1.
        first: u64,
        /// Its second position, from 1.
        second: u64,
    },
    /// Rows are invalid, and they were not to be skipped.
    #[error("{}", bad_rows(.0))]
    BadRows(BadRows),
    /// A record is longer than any row can be.
    #[error(
        "the row that starts on line {line} is longer than {}{}", ByteSize(*limit).display().iec(),
        if *in_quotes { "; a quote opened in it seems never to be closed" } else { "" }
    )]
    RecordTooLong {
        /// Where it starts, from 1.
        line: u64,
        /// The longest possible one in bytes.
        limit: u64,
        /// Whether it was inside quotes then.
        in_quotes: bool,
    },
    /// A record has more fields than any row can have.
    #[error("the row that starts on line {line} has more than {limit} fields")]
    TooManyFields {
        /// Where it starts, from 1.
        line: u64,
        /// The most possible ones.
        limit: u64,
    },
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
        /// The true sum.
        sum: i128,
    },
    /// The temporary files for what does not fit into memory could not be written or read.
    #[error(
        "the groups need more memory than they may take, and moving them to temporary files \
         failed: {0}"
    )]
    Spill(#[source] io::Error),
    /// The work was to end before it was done.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The input could not be read.
    #[error("reading the input failed: {0}")]
    Read(#[source] io::Error),
    /// An output could not be written.
    #[error("writing the output failed: {0}")]
    Write(#[source] io::Error),
}

impl AggregationError {
    /// The error of a temporary file, behind which there may be an interrupt.
    pub(crate) fn spill(error: io::Error) -> Self {
        match error.downcast::<Interrupted>() {
            Ok(interrupted) => Self::Interrupted(interrupted),
            Err(error) => Self::Spill(error),
        }
    }

    /// The error as it goes over the wire. What is wrong with the input is a 422; a failure of this
    /// machine is a 500, and for its tasks rather a reason to try again.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (status, code, title) = match self {
            Self::NotCsv(_) => (422, "not_csv", "The file is not CSV"),
            Self::Unpack { .. } => (422, "cannot_unpack", "The file cannot be unpacked"),
            Self::UnpackedTooLarge { .. } => (422, "unpacked_too_large", "The file is too large"),
            Self::EmptyFile => (422, "empty_file", "The file is empty"),
            Self::UnterminatedHeader { .. } => (422, "bad_header", "The header is not valid CSV"),
            Self::HeaderNotUtf8 { .. } => (422, "not_utf8", "The file is not UTF-8"),
            Self::MissingColumns { .. } => (422, "missing_column", "A column is missing"),
            Self::RepeatedColumn { .. } => (422, "repeated_column", "A column is repeated"),
            Self::BadRows(_) => (422, "bad_rows", "The file has bad rows"),
            Self::RecordTooLong { .. } | Self::TooManyFields { .. } => {
                (422, "record_too_long", "A row is too long")
            }
            Self::Overflow { .. } => (422, "overflow", "A sum is out of range"),
            Self::Interrupted(_) => (409, "interrupted", "The task was interrupted"),
            Self::Spill(_) => (500, "spill_failed", "Temporary files could not be used"),
            Self::Read(_) => (500, "read_failed", "The input could not be read"),
            Self::Write(_) => (500, "write_failed", "The output could not be written"),
        };
        let (errors, count) = self.locations();
        Problem::new(status, code, title, self.to_string()).with_errors(errors, count)
    }

    /// Where in the input the error is, and how many places there are in all.
    fn locations(&self) -> (Vec<ErrorLocation>, u64) {
        let at = |line, column, field: Option<&String>, reason: &str| ErrorLocation {
            line: Some(line),
            column,
            field: field.cloned(),
            reason: reason.to_owned(),
        };
        let errors = match self {
            Self::BadRows(bad) => return (bad.first.clone(), bad.count),
            Self::MissingColumns { line, missing, .. } => missing
                .iter()
                .map(|name| at(*line, None, Some(name), "the column is missing"))
                .collect(),
            Self::RepeatedColumn { line, name, second, .. } => {
                vec![at(*line, Some(*second), Some(name), "the column is there already")]
            }
            Self::HeaderNotUtf8 { line, column, .. } => {
                vec![at(*line, Some(*column), None, "the name is not UTF-8 text")]
            }
            Self::UnterminatedHeader { line } => {
                vec![at(*line, None, None, "a quote is opened and never closed")]
            }
            Self::RecordTooLong { line, .. } | Self::TooManyFields { line, .. } => {
                vec![at(*line, None, None, "the row is too long")]
            }
            _ => Vec::new(),
        };
        let count = errors.len() as u64;
        (errors, count)
    }
}

fn bad_rows(bad: &BadRows) -> String {
    let BadRows { count, .. } = *bad;
    let rows = plural(count, "row is", "rows are");
    format!(
        "{count} {rows} invalid; correct the file, or pass on_bad_row=skip to leave such rows out"
    )
}

/// Also tells a file whose columns are separated by something else.
fn missing_columns(missing: &[String], present: &[String], more: u64) -> String {
    let quoted = |names: &[String]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let columns = if missing.len() == 1 { "the column" } else { "the columns" };
    let mut text =
        format!("the header lacks {columns} {}; it has {}", quoted(missing), quoted(present));
    if more > 0 {
        text += &format!(" and {more} more");
    }
    if let ([only], 0) = (present, more)
        && only.contains([';', '\t', '|'])
    {
        text += "; fields must be separated by commas";
    } else {
        text += " (upper and lower case differ)";
    }
    text
}
