//! Problem documents as text for a terminal, for problems of the server and local ones alike.

use std::fmt::Write;

use common::problem::{ErrorLocation, Problem};

use crate::kind_options::as_options;

/// How many individual errors are shown; the rest is counted.
const SHOWN_ERRORS: usize = 10;

/// Problems whose details name parameters, which are options here.
const WITH_ADVICE: [&str; 2] = ["bad_rows", "missing_column"];

/// The title, the detail and the first individual errors, one per line, without a final line
/// break. A single error that the detail contains is not repeated.
pub(crate) fn problem_text(problem: &Problem) -> String {
    let mut text = match WITH_ADVICE.contains(&problem.code.as_str()) {
        true => format!("{}: {}", problem.title, as_options(&problem.detail)),
        false => format!("{}: {}", problem.title, problem.detail),
    };
    let is_repeated = match &*problem.errors {
        [only] => only.line.is_none() && problem.detail.contains(&only.reason),
        _ => false,
    };
    // The detail names missing columns.
    if is_repeated || problem.code == "missing_column" {
        return printable(&text);
    }
    for error in problem.errors.iter().take(SHOWN_ERRORS) {
        let position = position(error);
        let separator = if position.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {position}{separator}{}", error.reason);
    }
    let shown = problem.errors.len().min(SHOWN_ERRORS);
    let all = problem.error_count.max(problem.errors.len() as u64);
    let more = all - shown as u64;
    if shown > 0 && more > 0 {
        let _ = write!(text, "\n  … and {} more", indicatif::HumanCount(more));
    }
    printable(&text)
}

/// For example `line 5, column 3 (Number of Plays)`.
pub(crate) fn position(error: &ErrorLocation) -> String {
    let line = error.line.map(|line| format!("line {line}"));
    let column = error.column.map(|column| format!("column {column}"));
    let position = [line, column].into_iter().flatten().collect::<Vec<_>>().join(", ");
    match &error.field {
        None => position,
        Some(field) if position.is_empty() => field.clone(),
        Some(field) => format!("{position} ({field})"),
    }
}

/// The text with control characters replaced, since names and values in it come from files.
pub(crate) fn printable(text: &str) -> String {
    let replace = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad_rows(count: u64) -> Problem {
        let errors = (0..count)
            .map(|row| ErrorLocation {
                line: Some(row + 2),
                column: Some(3),
                field: Some("Number of Plays".to_owned()),
                reason: "`many` is not an integer".to_owned(),
            })
            .collect();
        Problem::new(422, "bad_rows", "Bad rows", "The file has invalid rows.")
            .with_errors(errors, count)
    }

    #[test]
    fn ten_errors_are_shown_and_the_rest_is_counted() {
        let text = problem_text(&bad_rows(1_100));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Bad rows: The file has invalid rows.");
        assert_eq!(lines[1], "  line 2, column 3 (Number of Plays): `many` is not an integer");
        assert_eq!(lines[10], "  line 11, column 3 (Number of Plays): `many` is not an integer");
        assert_eq!(lines[11], "  … and 1,090 more");
        assert_eq!(lines.len(), 12);
    }

    #[test]
    fn few_errors_are_shown_without_a_count() {
        assert_eq!(problem_text(&bad_rows(10)).lines().count(), 11);
        assert_eq!(problem_text(&bad_rows(0)).lines().count(), 1);
    }

    #[test]
    fn an_error_is_printed_once() {
        let errors = vec![ErrorLocation::field("colour", "is not a parameter")];
        let problem = Problem::new(422, "invalid_parameters", "Bad", "colour: is not a parameter");
        assert_eq!(
            problem_text(&problem.with_errors(errors, 1)),
            "Bad: colour: is not a parameter"
        );
    }

    #[test]
    fn advice_names_options() {
        let problem = Problem::new(422, "bad_rows", "Bad rows", "pass on_bad_row=skip");
        assert_eq!(problem_text(&problem), "Bad rows: pass --on-bad-row skip");
    }

    #[test]
    fn positions_show_the_known_parts() {
        let field = ErrorLocation::field("colour", "is not a parameter");
        assert_eq!(position(&field), "colour");
        let line = ErrorLocation { line: Some(7), ..ErrorLocation::default() };
        assert_eq!(position(&line), "line 7");
    }

    #[test]
    fn control_characters_are_replaced() {
        let problem = Problem::new(422, "x", "Title", "`\u{1b}[2J` is not an integer");
        assert_eq!(problem_text(&problem), "Title: `\u{fffd}[2J` is not an integer");
    }
}
