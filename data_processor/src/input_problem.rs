//! What a file that cannot be read as CSV is to clients, whatever the kind of the task.

use common::problem::{ErrorLocation, Problem};
use csv_input::InputError;

/// The error as it goes over the wire, with the codes that an aggregation uses for the same.
pub(crate) fn input_problem(error: &InputError) -> Problem {
    let (status, code, title) = match error {
        InputError::NotCsv(_) => (422, "not_csv", "The file is not CSV"),
        InputError::RecordTooLong { .. } | InputError::TooManyFields { .. } => {
            (422, "record_too_long", "A row is too long")
        }
        InputError::Read(_) => (500, "read_failed", "The input could not be read"),
    };
    let errors: Vec<_> = match error {
        InputError::RecordTooLong { line } | InputError::TooManyFields { line } => {
            vec![ErrorLocation {
                line: Some(*line),
                column: None,
                field: None,
                reason: "the row is too long".to_owned(),
            }]
        }
        InputError::NotCsv(_) | InputError::Read(_) => Vec::new(),
    };
    let count = errors.len() as u64;
    Problem::new(status, code, title, error.to_string()).with_errors(errors, count)
}
