//! Tests of the whole engine, from input bytes to output bytes.

mod bad_rows;
mod compressed;
mod dialects;
mod differential;
mod limits;
mod plain;
mod reference;

use std::io::{self, Read, Write};

use csv_input::{Delimiter, Dialect, HeaderError, InputError};

use crate::control::{Control, Interrupted, Outputs};
use crate::error::AggregationError;
use crate::options::{OnBadRow, Options};
use crate::run::{Sizes, Summary, aggregate, aggregate_in_chunks};

/// Outputs in memory.
#[derive(Default)]
struct Memory {
    result: Option<Vec<u8>>,
    rejected: Option<Vec<u8>>,
}

impl Outputs for Memory {
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        assert!(self.result.is_none(), "the result is opened once");
        Ok(self.result.insert(Vec::new()))
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Ok(self.rejected.get_or_insert_default())
    }
}

/// Never interrupts.
pub(super) struct Unlimited;

impl Control for Unlimited {
    fn progress(&self, _: u64) -> Result<(), Interrupted> {
        Ok(())
    }
}

/// The outcome of a successful aggregation.
#[derive(Debug, PartialEq)]
struct Outcome {
    summary: Summary,
    result: String,
    rejected: Option<String>,
}

const GROUP_BY: [&str; 2] = ["Song", "Date"];

/// Options from names and values. By default, plays are summed by song and date.
fn options(parameters: &[(&str, &str)]) -> Options {
    let all = |wanted: &str, default: &[&str]| -> Vec<String> {
        let given: Vec<_> = parameters
            .iter()
            .filter(|(name, _)| *name == wanted)
            .map(|(_, value)| *value)
            .collect();
        let names = if given.is_empty() { default } else { &given };
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    let one = |wanted: &str| all(wanted, &[]).pop();
    let mut options = Options::new(all("group_by", &GROUP_BY), all("sum", &["Number of Plays"]));
    options.last_is_date = options.group_by == GROUP_BY;
    options.total_header = one("total_header");
    options.dialect.delimiter =
        one("delimiter").and_then(|delimiter| Delimiter::of_byte(delimiter.as_bytes()[0]));
    if one("on_bad_row").as_deref() == Some("skip") {
        options.on_bad_row = OnBadRow::Skip;
    }
    options
}

fn run(input: impl Read + Send, options: &Options) -> Result<Outcome, AggregationError> {
    let mut outputs = Memory::default();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match aggregate(input, options, &mut outputs, &Unlimited) {
        Ok(summary) => {
            let result = text(outputs.result.unwrap());
            assert_eq!(summary.output_size, result.len() as u64);
            assert_eq!(summary.rows_rejected > 0, outputs.rejected.is_some());
            Ok(Outcome { summary, result, rejected: outputs.rejected.map(text) })
        }
        Err(error) => {
            let in_the_input = !matches!(error, AggregationError::Overflow { .. });
            assert!(
                outputs.result.is_none() || !in_the_input,
                "no result is opened if the input is invalid"
            );
            Err(error)
        }
    }
}

/// The result of a valid file with these parameters.
fn result_with(parameters: &[(&str, &str)], input: &str) -> String {
    run(input.as_bytes(), &options(parameters)).unwrap().result
}

/// The result of a valid file.
fn result(input: &str) -> String {
    result_with(&[], input)
}

fn error(input: impl AsRef<[u8]>) -> AggregationError {
    run(input.as_ref(), &options(&[])).unwrap_err()
}

/// The kind and the text of the error.
fn named_error(input: impl AsRef<[u8]>) -> (&'static str, String) {
    let error = error(input);
    (kind(&error), error.to_string())
}

fn kind(error: &AggregationError) -> &'static str {
    match error {
        AggregationError::Input(InputError::NotCsv(_)) => "not CSV",
        AggregationError::Input(InputError::RecordTooLong { .. }) => "record too long",
        AggregationError::Input(InputError::TooManyFields { .. }) => "too many fields",
        AggregationError::Input(InputError::Read(_)) => "read",
        AggregationError::Header(HeaderError::EmptyFile) => "empty file",
        AggregationError::Header(HeaderError::Unterminated { .. }) => "unterminated header",
        AggregationError::Header(HeaderError::NotUtf8 { .. }) => "header not UTF-8",
        AggregationError::Header(HeaderError::MissingColumns { .. }) => "missing columns",
        AggregationError::Header(HeaderError::RepeatedColumn { .. }) => "repeated column",
        AggregationError::NoColumns => "no columns",
        AggregationError::Unpack { .. } => "unpack",
        AggregationError::UnpackedTooLarge { .. } => "unpacked too large",
        AggregationError::BadRows(_) => "bad rows",
        AggregationError::Overflow { .. } => "overflow",
        AggregationError::Spill(_) => "spill",
        AggregationError::Interrupted(_) => "interrupted",
        AggregationError::Write(_) => "write",
    }
}

const SAMPLE: &str = "\
Song,Date,Number of Plays
Umbrella,2020-01-02,200
Umbrella,2020-01-01,100
In The End,2020-01-01,500
Umbrella,2020-01-01,50
In The End,2020-01-01,1000
Umbrella,2020-01-02,50
In The End,2020-01-02,500
";

const SAMPLE_RESULT: &str = "\
Song,Date,Number of Plays
In The End,2020-01-01,1500
In The End,2020-01-02,500
Umbrella,2020-01-01,150
Umbrella,2020-01-02,250
";

#[test]
fn the_specification_sample_is_aggregated() {
    let outcome = run(SAMPLE.as_bytes(), &options(&[])).unwrap();
    assert_eq!(outcome.result, SAMPLE_RESULT);
    let size = SAMPLE_RESULT.len() as u64;
    let summary = Summary {
        rows_read: 7,
        rows_rejected: 0,
        groups: 4,
        output_size: size,
        dialect: Dialect::default(),
    };
    assert_eq!(outcome.summary, summary);
}

#[test]
fn aggregating_a_result_changes_nothing() {
    assert_eq!(result(SAMPLE_RESULT), SAMPLE_RESULT);
}

#[test]
fn options_without_columns_are_rejected() {
    for (group_by, sum) in [(vec![], vec!["a".to_owned()]), (vec!["a".to_owned()], vec![])] {
        let error = run(&b"a\n1\n"[..], &Options::new(group_by, sum)).unwrap_err();
        assert!(matches!(error, AggregationError::NoColumns));
    }
}

#[test]
fn a_single_group_column_is_never_a_date() {
    let mut options = options(&[("group_by", "Date")]);
    options.last_is_date = true;
    let input = "Date,Number of Plays\nx,1\n2020-01-01,2\nx,3\n";
    let expected = "Date,Number of Plays\n2020-01-01,2\nx,4\n";
    assert_eq!(run(input.as_bytes(), &options).unwrap().result, expected);
}

#[test]
fn the_last_of_three_columns_can_be_a_date() {
    let mut options = options(&[("group_by", "a"), ("group_by", "b"), ("group_by", "Date")]);
    options.last_is_date = true;
    let valid = "a,b,Date,Number of Plays\n1,2,2020-01-02,1\n1,2,2020-01-01,1\n1,2,2020-01-02,3\n";
    let expected = "a,b,Date,Number of Plays\n1,2,2020-01-01,1\n1,2,2020-01-02,4\n";
    assert_eq!(run(valid.as_bytes(), &options).unwrap().result, expected);
    let invalid = "a,b,Date,Number of Plays\n1,2020-01-01,x,1\n";
    assert_eq!(kind(&run(invalid.as_bytes(), &options).unwrap_err()), "bad rows");
}

#[test]
fn line_endings_and_a_bom_do_not_matter() {
    let bom = format!("\u{FEFF}{SAMPLE}");
    for input in [
        SAMPLE.replace('\n', "\r\n"),
        SAMPLE.replace('\n', "\r"),
        SAMPLE.trim_end().to_owned(),
        bom.replace('\n', "\r\n").trim_end().to_owned(),
        bom,
        SAMPLE.replace('\n', "\n\n\r\n"),
        format!("\n\r\n{SAMPLE}"),
    ] {
        let outcome = run(input.as_bytes(), &options(&[])).unwrap();
        assert_eq!(outcome.result, SAMPLE_RESULT, "{input:?}");
        assert_eq!(outcome.summary.rows_read, 7, "{input:?}");
    }
}

#[test]
fn a_bom_before_a_quoted_header_is_skipped() {
    let input = "\u{FEFF}\"Song\",\"Date\",\"Number of Plays\"\na,2020-01-01,1\n";
    assert_eq!(result(input), "Song,Date,Number of Plays\na,2020-01-01,1\n");
}

#[test]
fn columns_are_found_by_name() {
    let input = "\
Artist, Number of Plays ,Date,song,Song
Rihanna,3,2020-01-01,x,Umbrella
Rihanna,4,2020-01-01,y,Umbrella
";
    assert_eq!(result(input), "Song,Date,Number of Plays\nUmbrella,2020-01-01,7\n");
}

#[test]
fn several_columns_are_grouped_and_summed() {
    let input = "City,Day,a,b\nBonn,x,1,10\nBonn,y,2,20\nAachen,x,3,30\nBonn,x,4,40\n";
    let groups = [("group_by", "Day"), ("group_by", "City"), ("sum", "b"), ("sum", "a")];
    assert_eq!(
        result_with(&groups, input),
        "Day,City,b,a\nx,Aachen,30,3\nx,Bonn,50,5\ny,Bonn,20,2\n"
    );
    let one = [("group_by", "City"), ("sum", "a"), ("total_header", "Total, all days")];
    assert_eq!(result_with(&one, input), "City,\"Total, all days\"\nAachen,3\nBonn,7\n");
}

#[test]
fn dates_are_validated_only_on_request() {
    let input = "Song,Date,Number of Plays\na,yesterday,1\n";
    let groups = [("group_by", "Date"), ("group_by", "Song")];
    assert_eq!(result_with(&groups, input), "Date,Song,Number of Plays\nyesterday,a,1\n");
}

#[test]
fn quoting_is_minimal() {
    let input = "Song,Date,Number of Plays
\"plain\",\"2020-01-01\",\"1\"
\"a, b\",2020-01-01,1
\"say \"\"hey\"\"\",2020-01-01,1
\"two
lines\",2020-01-01,1
\"cr\rlf\",2020-01-01,1
 blanks ,2020-01-01,1
O'Hara; x\ty,2020-01-01,1
";
    let expected = "Song,Date,Number of Plays
 blanks ,2020-01-01,1
O'Hara; x\ty,2020-01-01,1
\"a, b\",2020-01-01,1
\"cr\rlf\",2020-01-01,1
plain,2020-01-01,1
\"say \"\"hey\"\"\",2020-01-01,1
\"two
lines\",2020-01-01,1
";
    assert_eq!(result(input), expected);
}

#[test]
fn a_file_of_quoted_fields_has_the_result_of_plain_ones() {
    for line_end in ["\n", "\r\n", "\r"] {
        let row = |row: u32| format!("s{},2020-01-{:02},-{row}", row % 7, 1 + row % 28);
        let rows: Vec<String> = (0..20_000).map(row).collect();
        let plain = format!("{}{line_end}", rows.join(line_end));
        let quoted = format!("\"{}\"", plain.trim_end().replace(',', "\",\""));
        let quoted = quoted.replace(line_end, &format!("\"{line_end}\""));
        let header = format!("Song,Date,Number of Plays{line_end}");
        let expected = result(&format!("{header}{plain}"));
        assert_eq!(result(&format!("{header}{quoted}")), expected);
        // One field whose quotes are part of its value.
        let nasty = format!("{header}{quoted}{line_end}\"\"\"\",2020-01-01,1{line_end}");
        assert!(result(&nasty).contains("\"\"\"\",2020-01-01,1\n"));
    }
}

#[test]
fn values_are_not_trimmed_and_sort_by_bytes() {
    let input = "Song,Date,Number of Plays
ä,2020-01-01,1
z,2020-01-01,1
a,2020-01-02,1
a,2020-01-01,1
a ,2020-01-01,1
Z,2020-01-01,1
,2020-01-01,1
";
    let expected = "Song,Date,Number of Plays
,2020-01-01,1
Z,2020-01-01,1
a,2020-01-01,1
a,2020-01-02,1
a ,2020-01-01,1
z,2020-01-01,1
ä,2020-01-01,1
";
    assert_eq!(result(input), expected);
}

#[test]
fn a_file_without_rows_gives_only_a_header() {
    for input in ["Song,Date,Number of Plays", "Song,Date,Number of Plays\n\n"] {
        let outcome = run(input.as_bytes(), &options(&[])).unwrap();
        assert_eq!(outcome.result, "Song,Date,Number of Plays\n");
        assert_eq!(outcome.summary.groups, 0);
    }
}

#[test]
fn intermediate_sums_may_exceed_the_range() {
    let input = format!(
        "Song,Date,Number of Plays\na,2020-01-01,{max}\na,2020-01-01,{max}\na,2020-01-01,-{max}\n",
        max = i64::MAX
    );
    let expected = format!("Song,Date,Number of Plays\na,2020-01-01,{}\n", i64::MAX);
    assert_eq!(result(&input), expected);
}

#[test]
fn an_overflow_reports_the_first_group_in_order() {
    let max = i64::MAX;
    let min = i64::MIN;
    let (found, detail) = named_error(format!(
        "Song,Date,Number of Plays
z,2020-01-01,{min}\nok,2020-01-01,5\nz,2020-01-01,-1
b,2020-01-01,{max}\nb,2020-01-01,1\n"
    ));
    assert_eq!(found, "overflow");
    assert!(detail.contains("`Number of Plays`"), "{detail}");
    assert!(detail.contains("`b, 2020-01-01` is 9223372036854775808"), "{detail}");
}

#[test]
fn many_threads_report_the_first_overflow_in_order() {
    let sum = i128::from(i64::MAX) + 1;
    let groups = [
        // Dates, values and inline keys.
        vec![],
        vec![("group_by", "Date"), ("group_by", "Song")],
        vec![("group_by", "Song")],
    ];
    for parameters in groups {
        let mut input = "Song,Date,Number of Plays\n".to_owned();
        for song in 0..2_000 {
            let plays = if song < 100 { 1 } else { i64::MAX };
            input += &format!("song {song:04},2020-01-01,{plays}\nsong {song:04},2020-01-01,1\n");
        }
        let options = Options { threads: 8, ..options(&parameters) };
        let sizes = Sizes { range: 1, ..Sizes::REAL };
        for _ in 0..5 {
            let mut outputs = Memory::default();
            let result =
                aggregate_in_chunks(input.as_bytes(), &options, &mut outputs, &Unlimited, sizes);
            match result.unwrap_err() {
                AggregationError::Overflow { group, column, sum: found } => {
                    assert!(group.contains("song 0100"), "{group}");
                    assert_eq!((column.as_str(), found), ("Number of Plays", sum));
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_file_without_a_header_is_empty() {
    for input in ["", "\u{FEFF}", "\n", "\r\n\r\n", "\u{FEFF}\n\n"] {
        assert_eq!(kind(&error(input)), "empty file", "{input:?}");
    }
}

#[test]
fn all_missing_columns_are_listed() {
    let (found, detail) = named_error("title,Plays,Date\nx,1,2020-01-01\n");
    assert_eq!(found, "missing columns");
    assert!(detail.contains("`Song`, `Number of Plays`"), "{detail}");
    assert!(detail.contains("it has `title`, `Plays`, `Date`"), "{detail}");

    let many: Vec<_> = (0..100_000).map(|n| format!("column {n}")).collect();
    let (_, detail) = named_error(many.join(","));
    assert!(detail.contains("and 99980 more"), "{detail}");
    assert!(detail.len() < 1_000);
}

#[test]
fn only_needed_columns_must_be_unique() {
    let (found, detail) = named_error("Song,Date, Song,Number of Plays\n");
    assert_eq!(found, "repeated column");
    assert!(detail.contains("`Song`") && detail.contains("columns 1 and 3"), "{detail}");
    let input = "x,Song,Date,x,Number of Plays\n1,a,2020-01-01,2,3\n";
    assert_eq!(result(input), "Song,Date,Number of Plays\na,2020-01-01,3\n");
}

#[test]
fn invalid_headers_have_their_own_errors() {
    assert_eq!(
        kind(&error("Song,Date,\"Number of Plays\na,2020-01-01,1\n")),
        "unterminated header"
    );
    let (found, detail) = named_error(b"Song,Date,Number of Plays,Gr\xF6\xDFe\n");
    assert_eq!(found, "header not UTF-8");
    assert!(detail.contains("`Gr\\xF6\\xDFe`"), "{detail}");
}

#[test]
fn other_file_formats_are_recognised() {
    for (input, name) in [
        (&b"PK\x03\x04\x14\0\0\0\x08\0"[..], "ZIP"),
        (b"\xFD7zXZ\0\0\0", "xz"),
        (b"S\0o\0n\0g\0,\0", "UTF-16"),
    ] {
        let (found, detail) = named_error(input);
        assert_eq!(found, "not CSV");
        assert!(detail.contains(name), "{detail}");
    }
}
