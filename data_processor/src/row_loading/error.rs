//! Why a file cannot be loaded.

use common::plural::plural;
use common::problem::{ErrorLocation, Problem};

use csv_input::InputError;

use super::Interrupted;
use crate::input_problem::input_problem;

/// The bad rows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRows {
    /// How many there are.
    pub count: u64,
    /// The first 100 of them.
    pub first: Vec<ErrorLocation>,
}

/// Why a file cannot be loaded. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The records cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is no header.
    #[error("the file is empty: it has no header and no rows")]
    EmptyFile,
    /// A quote is opened in the header and never closed.
    #[error("a quote is opened in the header (line {line}) and never closed")]
    UnterminatedHeader {
        /// Where the header starts.
        line: u64,
    },
    /// A name in the header is not UTF-8.
    #[error("the name of column {column} in the header is not UTF-8 text; save the file as UTF-8")]
    HeaderNotUtf8 {
        /// Where the header starts.
        line: u64,
        /// The position of the name, from 1.
        column: u64,
    },
    /// The header lacks columns.
    #[error("{}", missing_columns(missing, present, *more))]
    MissingColumns {
        /// Where the header starts.
        line: u64,
        /// The columns that are not there.
        missing: Vec<&'static str>,
        /// The first columns that are there.
        present: Vec<String>,
        /// How many further ones are there.
        more: u64,
    },
    /// A column is there more than once.
    #[error("the header has `{name}` as column {first} and as column {second}; leave one of them")]
    RepeatedColumn {
        /// Where the header starts.
        line: u64,
        /// The column.
        name: &'static str,
        /// Its first position, from 1.
        first: u64,
        /// Its second position, from 1.
        second: u64,
    },
    /// Rows are invalid, and they were not to be skipped.
    #[error(
        "{} {} invalid, and nothing was loaded; correct the file, or pass on_bad_row=skip to leave \
         such rows out",
        .0.count, plural(.0.count, "row is", "rows are")
    )]
    BadRows(BadRows),
    /// The work was to end before it was done.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl LoadError {
    /// The error as it goes over the wire, with the codes that an aggregation uses for the same.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (status, code, title) = match self {
            Self::Input(error) => return input_problem(error),
            Self::EmptyFile => (422, "empty_file", "The file is empty"),
            Self::UnterminatedHeader { .. } => (422, "bad_header", "The header is not valid CSV"),
            Self::HeaderNotUtf8 { .. } => (422, "not_utf8", "The file is not UTF-8"),
            Self::MissingColumns { .. } => (422, "missing_column", "A column is missing"),
            Self::RepeatedColumn { .. } => (422, "repeated_column", "A column is repeated"),
            Self::BadRows(_) => (422, "bad_rows", "The file has bad rows"),
            Self::Interrupted(_) => (409, "interrupted", "The task was interrupted"),
        };
        let (errors, count) = self.locations();
        Problem::new(status, code, title, self.to_string()).with_errors(errors, count)
    }

    /// Where in the input the error is, and how many places there are in all.
    fn locations(&self) -> (Vec<ErrorLocation>, u64) {
        let at = |line: u64, column, field: Option<&str>, reason: &str| ErrorLocation {
            line: Some(line),
            column,
            field: field.map(str::to_owned),
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
            Self::HeaderNotUtf8 { line, column } => {
                vec![at(*line, Some(*column), None, "the name is not UTF-8 text")]
            }
            Self::UnterminatedHeader { line } => {
                vec![at(*line, None, None, "a quote is opened and never closed")]
            }
            Self::Input(_) | Self::EmptyFile | Self::Interrupted(_) => Vec::new(),
        };
        let count = errors.len() as u64;
        (errors, count)
    }
}

fn missing_columns(missing: &[&str], present: &[String], more: u64) -> String {
    let listed = |names: Vec<&str>| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let (missing, columns) =
        (listed(missing.to_vec()), listed(present.iter().map(String::as_str).collect()));
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let hint = match present {
        // A file whose columns are separated by something else.
        [only] if only.contains([';', '\t', '|']) => "fields must be separated by commas",
        _ => "the first line must name the columns `name` and `email`, in lower case",
    };
    format!("the header lacks {missing}; it has {columns}{more}; {hint}")
}
