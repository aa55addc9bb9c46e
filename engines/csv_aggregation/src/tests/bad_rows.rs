//! Invalid rows.

use std::sync::Mutex;

use csv_input::RowError;

use super::*;

const HEADER: &str = "Song,Date,Number of Plays,Note\n";

fn fail(input: impl AsRef<[u8]>) -> (u64, Vec<RowError>) {
    match error(input) {
        AggregationError::BadRows(bad) => (bad.count, bad.first),
        other => panic!("{other}"),
    }
}

/// The one bad row of a file.
fn only(input: impl AsRef<[u8]>) -> RowError {
    let (count, mut first) = fail(input);
    assert_eq!((count, first.len()), (1, 1));
    first.remove(0)
}

fn row(row: impl AsRef<[u8]>) -> RowError {
    only([HEADER.as_bytes(), row.as_ref()].concat())
}

fn skip(input: impl AsRef<[u8]>) -> Outcome {
    run(input.as_ref(), &options(&[("on_bad_row", "skip")])).unwrap()
}

/// Notes the numbers of rejected rows.
#[derive(Default)]
struct Rejections(Mutex<Vec<u64>>);

impl Control for Rejections {
    fn progress(&self, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }

    fn rejected(&self, rows: u64) {
        self.0.lock().unwrap().push(rows);
    }
}

#[test]
fn rejected_rows_are_counted_while_the_input_is_read() {
    let rows = "a,2020-01-01,1,\nb,bad,1,\n".repeat(5_000);
    let (options, seen) = (options(&[("on_bad_row", "skip")]), Rejections::default());
    let input = format!("{HEADER}{rows}");
    let mut outputs = Memory::default();
    let sizes = Sizes { chunk: 1_000, ..Sizes::REAL };
    aggregate_in_chunks(input.as_bytes(), &options, &mut outputs, &seen, sizes).unwrap();
    let seen = seen.0.into_inner().unwrap();
    assert!(seen.len() > 10 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&5_000));
}

#[test]
fn invalid_numbers_are_reported() {
    for value in ["", " 5", "5 ", "+5", "1.5", "five", "-", "9223372036854775808"] {
        let location = row(format!("a,2020-01-01,{value},\n"));
        assert_eq!((location.line, location.column), (2, Some(3)), "{value}");
        assert_eq!(location.field.as_deref(), Some("Number of Plays"));
        let named = if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") };
        assert!(location.reason.contains(&named), "{}", location.reason);
    }
}

#[test]
fn invalid_dates_are_reported() {
    for value in ["2020-02-30", "2019-02-29", "01.02.2020", "", " 2020-01-01", "2020-1-1"] {
        let location = row(format!("a,{value},1,\n"));
        assert_eq!((location.line, location.column), (2, Some(2)), "{value}");
        assert_eq!(location.field.as_deref(), Some("Date"));
        assert!(location.reason.contains(&format!("`{value}`")), "{}", location.reason);
    }
}

#[test]
fn ragged_rows_are_reported() {
    for (line, fields) in [
        ("a,2020-01-01,1", "3 fields"),
        ("a,2020-01-01,1,,", "5 fields"),
        ("a", "1 field"),
        ("\"\"", "1 field"),
    ] {
        let location = row(line);
        assert_eq!((location.line, location.column, location.field), (2, None, None));
        let expected = format!("the row has {fields}, the header has 4");
        assert_eq!(location.reason, expected);
    }
}

#[test]
fn invalid_utf8_is_reported_in_any_field() {
    let location = row(b"a,2020-01-01,1,caf\xE9\n");
    assert_eq!((location.line, location.column), (2, Some(4)));
    assert_eq!(location.field.as_deref(), Some("Note"));
    assert_eq!(location.reason, "`caf\\xE9` is not UTF-8 text");
    // A character that is split across two fields.
    assert_eq!(row(b"a\xC3,2020-01-01,1,\xA9\n").column, Some(1));
}

#[test]
fn unterminated_quotes_are_reported() {
    for end in ["\"a,2020-01-01,1,", "\"", "a,2020-01-01,1,\"x\"\"", "a,2020-01-01,1,\"\n\n\n"] {
        let location = only(format!("{HEADER}b,2020-01-01,1,\n\n{end}"));
        assert_eq!((location.line, location.column, location.field), (4, None, None));
        assert!(location.reason.contains("quote"), "{}", location.reason);
    }
    for end in [
        "a,2020-01-01,1,\"x\"",
        "a,2020-01-01,1,x\"y",
        "a\",2020-01-01,1,",
        "a,2020-01-01,1,\"x\"y\"",
    ] {
        run(format!("{HEADER}{end}").as_bytes(), &options(&[])).unwrap();
    }
}

#[test]
fn only_the_first_fault_of_a_row_is_reported() {
    // Ragged rows are found before invalid fields, and fields are checked from left to right.
    assert_eq!(row(b"\xFF,never,many\n").column, None);
    assert_eq!(row(b"a,never,many,\xFF\n").column, Some(4));
    assert_eq!(row("a,never,many,\n").column, Some(2));
    let swapped = "Number of Plays,Date,Song\nmany,never,a\n";
    assert_eq!(only(swapped).column, Some(1));
}

#[test]
fn line_numbers_are_those_of_the_file() {
    let input = "\r\n\nSong,Date,Number of Plays\r\n\r\n\"two\r\nlines\",2020-01-01,1\r\n\n\
                 a,2020-01-01,x\r\n\"three\n\nlines\",2020-01-01,y\r\nb,2020-01-01,z";
    let (count, first) = fail(input);
    let lines: Vec<_> = first.iter().map(|location| location.line).collect();
    assert_eq!((count, lines), (3, vec![8, 9, 12]));
}

#[test]
fn all_bad_rows_are_counted_and_the_first_hundred_listed() {
    let mut input = HEADER.to_owned();
    for n in 0..250 {
        input += &format!("a,2020-01-01,x{n},\na,2020-01-01,1,\n");
    }
    let (count, first) = fail(&input);
    assert_eq!((count, first.len()), (250, 100));
    assert_eq!(first[99].line, 2 + 2 * 99);

    assert_eq!(error(&input).to_string(), "250 rows are invalid");
}

#[test]
fn long_names_and_values_are_shortened_in_errors() {
    let name = "n".repeat(100_000);
    let value = "v".repeat(1 << 20);
    let input = format!("Song,Date,{name}\na,2020-01-01,{value}\n");
    let options = options(&[("sum", &name)]);
    let error = run(input.as_bytes(), &options).unwrap_err();
    assert!(format!("{error:?}").len() < 2_000);
}

#[test]
fn skipped_rows_are_written_as_rejected() {
    let outcome = skip(
        [
            HEADER.as_bytes(),
            b"b,2020-01-01,1,\n",
            b"a,2020-01-01,\"1,5\",\n",
            b"a,2020-02-30,7,\n",
            b"a,\"b, c\",7\n",
            b"a,2020-01-01,7,caf\xE9\n",
            b"b,2020-01-01,2,\n",
            b"\"open,2020-01-01\n",
        ]
        .concat(),
    );
    assert_eq!(outcome.result, "Song,Date,Number of Plays\nb,2020-01-01,3\n");
    assert_eq!(
        outcome.rejected.unwrap(),
        "line,column,field,value,reason\n\
         3,3,Number of Plays,\"1,5\",\"`1,5` is not a whole number (digits only, with a minus \
         where it is negative)\"\n\
         4,2,Date,2020-02-30,`2020-02-30` is not a day of the calendar written as YYYY-MM-DD\n\
         5,,,\"a,\"\"b, c\"\",7\",\"the row has 3 fields, the header has 4\"\n\
         6,4,Note,caf\u{FFFD},`caf\\xE9` is not UTF-8 text\n\
         8,,,\"\"\"open,2020-01-01\n\"\"\",a quote is opened in this row and never closed\n"
    );
    let summary = outcome.summary;
    assert_eq!((summary.rows_read, summary.rows_rejected, summary.groups), (7, 5, 1));
}

#[test]
fn a_bad_row_changes_no_sum() {
    // The first number is valid, the second is not: neither may be added.
    let input = "k,a,b\nx,1,1\nx,10,y\nx,100,100\n";
    let parameters = [("group_by", "k"), ("sum", "a"), ("sum", "b"), ("on_bad_row", "skip")];
    let outcome = run(input.as_bytes(), &options(&parameters)).unwrap();
    assert_eq!(outcome.result, "k,a,b\nx,101,101\n");
}

#[test]
fn a_file_of_bad_rows_gives_only_a_header() {
    let outcome = skip(format!("{HEADER}x\ny\n"));
    assert_eq!(outcome.result, "Song,Date,Number of Plays\n");
    assert_eq!(outcome.summary.rows_rejected, 2);
}
