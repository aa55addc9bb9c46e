//! Converts errors of the engines to problem documents, with the same codes for all kinds of task.
//!
//! Invalid input is a 422. A failure of this machine is a 500, which makes a worker retry its task.

use common::problem::{ErrorLocation, Problem};
use common::task::spec::{DEFAULT_GROUP_BY, DEFAULT_SUM};
use csv_aggregation::AggregationError;
use csv_input::{BadRows, HeaderError, InputError, NOT_UTF8, RowError};

use crate::csv_preview::PreviewError;
use crate::row_loading::LoadError;

/// Status, code and title.
type Kind = (u16, &'static str, &'static str);

/// What to do about invalid rows.
const ADVICE: &str = "correct the file, or pass on_bad_row=skip to leave such rows out";

/// What to do if text is not UTF-8.
const ENCODING_ADVICE: &str = "pass encoding=windows-1252 if a spreadsheet program wrote the file";

const INTERRUPTED: Kind = (409, "interrupted", "The task was interrupted");

/// The problem of a failed aggregation.
#[must_use]
pub fn of_aggregation(error: &AggregationError) -> Problem {
    let kind = match error {
        AggregationError::Input(error) => return of_input(error),
        AggregationError::Header(error) => return of_header_of_aggregation(error),
        AggregationError::BadRows(rows) => {
            return of_bad_rows(rows, format!("{rows}; {ADVICE}"));
        }
        AggregationError::NoColumns => (422, "invalid_parameters", "Invalid parameters"),
        AggregationError::Unpack { .. } => (422, "cannot_unpack", "The file cannot be unpacked"),
        AggregationError::UnpackedTooLarge { .. } => {
            (422, "unpacked_too_large", "The file is too large")
        }
        AggregationError::Overflow { .. } => (422, "overflow", "A sum is out of range"),
        AggregationError::Interrupted(_) => INTERRUPTED,
        AggregationError::Spill(_) => (500, "spill_failed", "Temporary files could not be used"),
        AggregationError::Write(_) => (500, "write_failed", "The output could not be written"),
    };
    problem(kind, error, Vec::new())
}

/// The problem of a failed load.
#[must_use]
pub fn of_loading(error: &LoadError) -> Problem {
    match error {
        LoadError::Input(error) => of_input(error),
        LoadError::Header(error) => of_header(error),
        LoadError::BadRows(rows) => {
            of_bad_rows(rows, format!("{rows}, and nothing was loaded; {ADVICE}"))
        }
        LoadError::Interrupted(_) => problem(INTERRUPTED, error, Vec::new()),
    }
}

/// The problem of a failed preview.
#[must_use]
pub fn of_preview(error: &PreviewError) -> Problem {
    match error {
        PreviewError::Input(error) => of_input(error),
        PreviewError::Header(error) => of_header(error),
        PreviewError::Interrupted => problem(INTERRUPTED, error, Vec::new()),
    }
}

fn of_input(error: &InputError) -> Problem {
    let too_long = (422, "record_too_long", "A row is too long");
    match error {
        InputError::NotCsv(_) => {
            problem((422, "not_csv", "The file is not CSV"), error, Vec::new())
        }
        InputError::RecordTooLong { line, .. } | InputError::TooManyFields { line } => {
            problem(too_long, error, vec![at(*line, "the row is too long")])
        }
        InputError::Read(_) => {
            problem((500, "read_failed", "The input could not be read"), error, Vec::new())
        }
    }
}

/// The default columns are those of one format of files.
fn of_header_of_aggregation(error: &HeaderError) -> Problem {
    let mut problem = of_header(error);
    if let HeaderError::MissingColumns { missing, .. } = error
        && missing.iter().any(|name| is_default_column(name))
    {
        problem.detail.push_str(
            "; name the columns of this file with group_by=COLUMN and sum=COLUMN, each as often as \
             needed",
        );
    }
    problem
}

fn is_default_column(name: &str) -> bool {
    DEFAULT_GROUP_BY.into_iter().chain(DEFAULT_SUM).any(|column| column == name)
}

fn of_header(error: &HeaderError) -> Problem {
    let (kind, locations) = match error {
        HeaderError::EmptyFile => ((422, "empty_file", "The file is empty"), Vec::new()),
        HeaderError::Unterminated { line } => (
            (422, "bad_header", "The header is not valid CSV"),
            vec![at(*line, "a quote is opened and never closed")],
        ),
        HeaderError::NotUtf8 { line, column, .. } => {
            let location = at(*line, "the name is not UTF-8 text");
            let location = ErrorLocation { column: Some(*column), ..location };
            ((422, "not_utf8", "The file is not UTF-8"), vec![location])
        }
        HeaderError::MissingColumns { line, missing, .. } => {
            let locations = missing.iter().map(|name| {
                let location = at(*line, "the column is missing");
                ErrorLocation { field: Some(name.clone()), ..location }
            });
            ((422, "missing_column", "A column is missing"), locations.collect())
        }
        HeaderError::RepeatedColumn { line, name, second, .. } => {
            let location = at(*line, "another column has the same name");
            let location =
                ErrorLocation { column: Some(*second), field: Some(name.clone()), ..location };
            ((422, "repeated_column", "A column is repeated"), vec![location])
        }
    };
    let problem = problem(kind, error, locations);
    match error {
        HeaderError::MissingColumns { fitting: Some(fitting), .. } => {
            problem.suggesting("delimiter", fitting.name())
        }
        HeaderError::NotUtf8 { .. } => problem.suggesting("encoding", "windows-1252"),
        _ => problem,
    }
}

fn of_bad_rows(rows: &BadRows, detail: String) -> Problem {
    let location = |error: &RowError| ErrorLocation {
        line: Some(error.line),
        column: error.column,
        field: error.field.clone(),
        reason: error.reason.clone(),
    };
    let not_utf8 = rows.first.iter().any(|error| error.reason.ends_with(NOT_UTF8));
    let detail = if not_utf8 { format!("{detail}; {ENCODING_ADVICE}") } else { detail };
    let problem = Problem::new(422, "bad_rows", "The file has invalid rows", detail)
        .with_errors(rows.first.iter().map(location).collect(), rows.count);
    if not_utf8 { problem.suggesting("encoding", "windows-1252") } else { problem }
}

fn problem(
    (status, code, title): Kind,
    error: &impl ToString,
    locations: Vec<ErrorLocation>,
) -> Problem {
    let count = locations.len() as u64;
    Problem::new(status, code, title, error.to_string()).with_errors(locations, count)
}

fn at(line: u64, reason: &str) -> ErrorLocation {
    ErrorLocation { line: Some(line), column: None, field: None, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_have_stable_codes_and_positions() {
        let header = HeaderError::RepeatedColumn { line: 1, name: "a".into(), first: 1, second: 3 };
        let repeated = of_aggregation(&header.into());
        assert_eq!((repeated.status, &*repeated.code), (422, "repeated_column"));
        assert_eq!((repeated.errors[0].line, repeated.errors[0].column), (Some(1), Some(3)));
        let missing = |names: &[&str]| HeaderError::MissingColumns {
            line: 2,
            missing: names.iter().map(|name| (*name).to_owned()).collect(),
            present: vec!["x".to_owned()],
            more: 0,
            fitting: Some(csv_input::Delimiter::Tab),
        };
        let missing = of_loading(&missing(&["name", "email"]).into());
        assert_eq!((&*missing.code, missing.error_count), ("missing_column", 2));
        assert_eq!(missing.errors[1].field.as_deref(), Some("email"));
        assert_eq!(missing.suggested_parameters["delimiter"], "tab");
        let long = of_preview(&InputError::RecordTooLong { line: 7, in_quotes: true }.into());
        assert_eq!((&*long.code, long.errors[0].line), ("record_too_long", Some(7)));
    }

    #[test]
    fn a_header_without_the_default_columns_says_how_to_name_others() {
        let missing = |name: &str| HeaderError::MissingColumns {
            line: 1,
            missing: vec![name.to_owned()],
            present: vec!["City".to_owned()],
            more: 0,
            fitting: None,
        };
        let advice = "group_by=COLUMN and sum=COLUMN";
        assert!(of_aggregation(&missing("Song").into()).detail.contains(advice));
        assert!(!of_aggregation(&missing("Town").into()).detail.contains(advice));
        assert!(!of_loading(&missing("Song").into()).detail.contains(advice));
    }

    #[test]
    fn an_encoding_is_suggested_if_text_is_not_utf_8() {
        let mut rows = BadRows::default();
        let reason = format!("`caf\\xE9` {NOT_UTF8}");
        rows.add(|| RowError { line: 2, column: Some(1), field: None, reason });
        let problem = of_aggregation(&AggregationError::BadRows(rows));
        assert!(problem.detail.contains("encoding=windows-1252"), "{}", problem.detail);
        assert_eq!(problem.suggested_parameters["encoding"], "windows-1252");
        let header = HeaderError::NotUtf8 { line: 1, column: 1, value: "x".to_owned() };
        assert_eq!(of_loading(&header.into()).suggested_parameters["encoding"], "windows-1252");
    }

    #[test]
    fn failures_of_the_machine_are_server_errors() {
        let failure = || io::Error::from(io::ErrorKind::StorageFull);
        for error in [
            AggregationError::Spill(failure()),
            AggregationError::Write(failure()),
            InputError::Read(failure()).into(),
        ] {
            assert_eq!(of_aggregation(&error).status, 500);
        }
    }

    #[test]
    fn invalid_rows_are_counted_and_the_first_hundred_listed() {
        let mut rows = BadRows::default();
        for line in 2..252 {
            let reason = "is empty".to_owned();
            rows.add(|| RowError { line, column: Some(3), field: Some("Plays".into()), reason });
        }
        let problem = of_aggregation(&AggregationError::BadRows(rows.clone()));
        assert_eq!((problem.error_count, problem.errors.len()), (250, 100));
        assert_eq!((problem.errors[0].line, problem.errors[0].column), (Some(2), Some(3)));
        assert!(problem.detail.starts_with("250 rows are invalid; "), "{}", problem.detail);
        assert!(problem.detail.contains("on_bad_row=skip"));
        assert!(of_loading(&LoadError::BadRows(rows)).detail.contains("nothing was loaded"));
    }
}
