//! A problem for people: the title, the detail and the first places.

use common::problem::{ErrorLocation, Problem};
use indicatif::HumanCount;

/// As many places are shown; the rest is counted.
const SHOWN: usize = 10;

/// The problem on several lines, without a line end behind the last.
pub(super) fn problem_text(problem: &Problem) -> String {
    let mut lines = vec![problem.title.clone(), problem.detail.clone()];
    let shown = problem.errors.iter().take(SHOWN);
    lines.extend(shown.map(|error| format!("  {}: {}", place(error), error.reason)));
    let more = problem.error_count.saturating_sub(SHOWN as u64);
    if more > 0 {
        lines.push(format!("  … and {} more", HumanCount(more)));
    }
    lines.join("\n")
}

/// Such as `line 5, column 3 (Number of Plays)`.
pub(super) fn place(error: &ErrorLocation) -> String {
    let line = error.line.map(|line| format!("line {line}"));
    let column = error.column.map(|column| format!("column {column}"));
    let numbers = line.into_iter().chain(column).collect::<Vec<_>>().join(", ");
    match (&error.field, numbers.is_empty()) {
        (None, _) => numbers,
        (Some(field), true) => field.clone(),
        (Some(field), false) => format!("{numbers} ({field})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(count: u64) -> Vec<ErrorLocation> {
        let error = |line| ErrorLocation {
            line: Some(line),
            column: Some(3),
            field: Some("Number of Plays".to_owned()),
            reason: "`x` is not a whole number".to_owned(),
        };
        (1..=count).map(error).collect()
    }

    #[test]
    fn ten_places_and_how_many_more() {
        let problem = Problem::new(422, "bad_rows", "The file has bad rows", "1,100 rows.");
        let text = problem_text(&problem.with_errors(errors(1_100), 1_100));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["The file has bad rows", "1,100 rows."]);
        assert_eq!(lines[2], "  line 1, column 3 (Number of Plays): `x` is not a whole number");
        assert_eq!(lines[12..], ["  … and 1,090 more"]);
    }

    #[test]
    fn few_places_are_all() {
        let problem = Problem::new(422, "bad_rows", "Title", "Detail");
        let text = problem_text(&problem.with_errors(errors(10), 10));
        assert_eq!(text.lines().count(), 12);
    }

    #[test]
    fn a_place_is_as_exact_as_it_is_known() {
        let line = ErrorLocation { line: Some(7), ..ErrorLocation::default() };
        assert_eq!(place(&line), "line 7");
        let field = ErrorLocation { field: Some("a".to_owned()), ..line };
        assert_eq!(place(&field), "line 7 (a)");
        assert_eq!(place(&ErrorLocation::field("colour", "")), "colour");
    }
}
