//! Files whose fields are separated by other bytes than commas.

use csv_input::{DialectOptions, Encoding};
use proptest::prelude::*;

use super::*;
use crate::options::{NumberFormat, Thousands};

/// Options with this delimiter.
fn separated(delimiter: Option<Delimiter>) -> Options {
    Options { dialect: DialectOptions { delimiter, ..Default::default() }, ..options(&[]) }
}

/// The sample with another delimiter.
fn sample(delimiter: Delimiter) -> String {
    SAMPLE.replace(',', &char::from(delimiter.byte()).to_string())
}

#[test]
fn every_delimiter_is_detected_and_reported() {
    for delimiter in Delimiter::ALL {
        for given in [None, Some(delimiter)] {
            let outcome = run(sample(delimiter).as_bytes(), &separated(given)).unwrap();
            assert_eq!(outcome.result, SAMPLE_RESULT);
            assert_eq!(outcome.summary.dialect.delimiter, delimiter);
        }
    }
}

#[test]
fn quoted_fields_may_contain_the_delimiter_and_commas_need_quotes_in_the_result() {
    let input = "Song;Date;Number of Plays\r\n\"a;b\";2020-01-01;\"1\"\r\na, b;2020-01-01;2\r\n\
                 \"a;b\";2020-01-01;3\r\n\"say \"\"hey\"\"\";2020-01-01;4\r\n";
    let expected = "Song,Date,Number of Plays\n\"a, b\",2020-01-01,2\na;b,2020-01-01,4\n\
                    \"say \"\"hey\"\"\",2020-01-01,4\n";
    assert_eq!(result(input), expected);
}

#[test]
fn a_comma_header_with_the_columns_stays_one() {
    let input = "Song,Date,Number of Plays\n\"x;y\",2020-01-01,1\na;b;c;d,2020-01-01,2\n";
    let outcome = run(input.as_bytes(), &options(&[])).unwrap();
    assert_eq!(outcome.summary.dialect.delimiter, Delimiter::Comma);
    assert_eq!(outcome.summary.groups, 2);
}

#[test]
fn a_first_line_announces_the_delimiter() {
    for (line, delimiter) in [("sep=;\r\n", ';'), ("sep=|\n", '|'), ("\u{FEFF}sep=\t\n", '\t')] {
        let input = format!("{line}{}", SAMPLE.replace(',', &delimiter.to_string()));
        assert_eq!(result(&input), SAMPLE_RESULT, "{line}");
    }
    // What is given counts, and lines are those of the file.
    let input = "sep=;\nSong,Date,Number of Plays\na,2020-01-01,x\n";
    match run(input.as_bytes(), &separated(Some(Delimiter::Comma))).unwrap_err() {
        AggregationError::BadRows(rows) => assert_eq!(rows.first[0].line, 3),
        other => panic!("{other}"),
    }
    assert_eq!(result(&input.replace("x\n", "1\n").replace("sep=;", "sep=,")).lines().count(), 2);
}

#[test]
fn a_wrong_delimiter_is_named_with_the_right_one() {
    let input = sample(Delimiter::Semicolon);
    let error = run(input.as_bytes(), &separated(Some(Delimiter::Comma))).unwrap_err();
    let AggregationError::Header(HeaderError::MissingColumns { fitting, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*fitting, Some(Delimiter::Semicolon));
    let detail = error.to_string();
    assert!(
        detail.contains("it has `Song;Date;Number of Plays`; separated by semicolons"),
        "{detail}"
    );
    // The columns are named as the most likely delimiter gives them.
    let (found, detail) = named_error("Song;Date;Plays\na;2020-01-01;1\n");
    assert_eq!(found, "missing columns");
    assert!(detail.contains("it has `Song`, `Date`, `Plays`"), "{detail}");
}

#[test]
fn compressed_input_is_detected_too() {
    let text = sample(Delimiter::Pipe);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    for input in [gzip.finish().unwrap(), zstd::encode_all(text.as_bytes(), 1).unwrap()] {
        assert_eq!(run(input.as_slice(), &options(&[])).unwrap().result, SAMPLE_RESULT);
    }
}

/// Options with this encoding.
fn encoded(encoding: Encoding) -> Options {
    let dialect = DialectOptions { encoding: Some(encoding), ..Default::default() };
    Options { dialect, ..options(&[]) }
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn a_file_of_a_german_spreadsheet_is_summed() {
    let file = b"sep=;\r\nSong;Date;Number of Plays\r\nGr\xF6\xDFe;2020-01-01;1\r\n\
                 \"5 \x80; bar\";2020-01-01;2\r\nGr\xF6\xDFe;2020-01-01;3\r\n";
    let outcome = run(&file[..], &encoded(Encoding::Windows1252)).unwrap();
    let expected = "Song,Date,Number of Plays\n5 €; bar,2020-01-01,2\nGröße,2020-01-01,4\n";
    assert_eq!(outcome.result, expected);
    let dialect = outcome.summary.dialect;
    assert_eq!(
        (dialect.encoding, dialect.delimiter),
        (Encoding::Windows1252, Delimiter::Semicolon)
    );
    // Without being told, the error says what to do.
    match error(file) {
        AggregationError::BadRows(rows) => {
            assert_eq!((rows.count, rows.first[0].line), (3, 3));
            assert!(
                rows.first[0].reason.ends_with(csv_input::NOT_UTF8),
                "{}",
                rows.first[0].reason
            );
        }
        other => panic!("{other}"),
    }
    let (_, detail) = named_error(b"Gr\xF6\xDFe;Song;Date;Number of Plays\n");
    assert!(detail.contains("encoding=windows-1252"), "{detail}");
}

#[test]
fn utf_16_is_read_as_its_mark_says_or_as_told() {
    let rows: String =
        (0..50_000).map(|row| format!("Größe {}\t2020-01-01\t1\r\n", row % 3)).collect();
    let text = format!("Song\tDate\tNumber of Plays\r\n{rows}x\t2020-01-01\ty\r\n");
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let marked = utf16(&format!("\u{FEFF}{text}"), order);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&marked).unwrap();
        for (input, mut options) in [
            (marked, options(&[])),
            (gzip.finish().unwrap(), options(&[])),
            (utf16(&text, order), encoded(Encoding::Utf16)),
        ] {
            // Lines and columns are those of the text.
            match run(&*input, &options).unwrap_err() {
                AggregationError::BadRows(rows) => {
                    assert_eq!((rows.first[0].line, rows.first[0].column), (50_002, Some(3)));
                }
                other => panic!("{other}"),
            }
            options.on_bad_row = OnBadRow::Skip;
            let outcome = run(&*input, &options).unwrap();
            assert!(outcome.result.contains("Größe 2,2020-01-01,16666\n"), "{}", outcome.result);
            assert_eq!(outcome.summary.dialect.encoding, Encoding::Utf16);
        }
    }
    let (found, detail) = named_error(utf16("Song,Date", u16::to_le_bytes));
    assert_eq!(found, "not CSV");
    assert!(detail.contains("encoding=utf-16"), "{detail}");
}

#[test]
fn numbers_may_have_thousands_and_a_fraction_of_zeros() {
    let rows: String = (0..30_000)
        .map(|row| format!("s{};2020-01-01;1.{:03},00\r\n", row % 3, row % 1_000))
        .collect();
    let input = format!("Song;Date;Number of Plays\r\n{rows}s0;2020-01-01;7\r\n");
    let numbers = NumberFormat { decimal: Some(b','), thousands: Some(Thousands::Byte(b'.')) };
    let options = Options { numbers, ..options(&[]) };
    let outcome = run(input.as_bytes(), &options).unwrap();
    let sum = |song: u32| {
        (0..30_000).filter(|row| row % 3 == song).map(|row| 1_000 + row % 1_000).sum::<u32>()
    };
    let expected = format!(
        "Song,Date,Number of Plays\ns0,2020-01-01,{}\ns1,2020-01-01,{}\ns2,2020-01-01,{}\n",
        sum(0) + 7,
        sum(1),
        sum(2)
    );
    assert_eq!(outcome.result, expected);
    // Without being told they are no numbers, and real decimals never are whole ones.
    assert_eq!(kind(&error(&input)), "bad rows");
    match run(format!("{input}s;2020-01-01;1,50\n").as_bytes(), &options).unwrap_err() {
        AggregationError::BadRows(rows) => {
            assert_eq!((rows.count, rows.first[0].line), (1, 30_003));
            assert_eq!(
                rows.first[0].reason,
                "`1,50` is not a whole number: its decimals are not zero"
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn names_of_columns_may_differ_in_case() {
    let input = "SONG;date;number of plays\na;2020-01-01;1\n";
    assert_eq!(result(input), "Song,Date,Number of Plays\na,2020-01-01,1\n");
    assert_eq!(kind(&error("song,SONG,Date,Number of Plays\n")), "repeated column");
}

#[test]
fn other_quotes_escapes_and_comments_are_understood() {
    let mut options = options(&[]);
    options.dialect.quote = Some(b'\'');
    options.dialect.escape = Some(b'\\');
    options.dialect.comment = Some(b'#');
    // Comments before, between and after rows, some longer than a chunk.
    let long = "x; ".repeat(1_000);
    let rows = "'it''s; a \\'song\\'';2020-01-01;1\n# 'no row\n\"5;2020-01-01;2\n";
    let input =
        format!("# made by hand; {long}\nSong;Date;Number of Plays\n{rows}# {long}\n{rows}#end");
    let expected =
        "Song,Date,Number of Plays\n\"\"\"5\",2020-01-01,4\nit's; a 'song',2020-01-01,2\n";
    for chunk in [1, 7, 100, 5_000, 1 << 20] {
        let mut outputs = Memory::default();
        let sizes = Sizes { chunk, ..Sizes::REAL };
        let done = aggregate_in_chunks(input.as_bytes(), &options, &mut outputs, &Unlimited, sizes);
        assert_eq!(done.unwrap().rows_read, 4, "{chunk}");
        assert_eq!(String::from_utf8(outputs.result.unwrap()).unwrap(), expected, "{chunk}");
    }
    // Lines count, whatever is on them.
    let bad = format!("{}\nx;2020-01-01;y\n", input.trim_end_matches("#end"));
    match run(bad.as_bytes(), &options).unwrap_err() {
        AggregationError::BadRows(rows) => assert_eq!(rows.first[0].line, 11),
        other => panic!("{other}"),
    }
}

#[test]
fn an_endless_comment_is_refused() {
    let mut options = options(&[]);
    options.dialect.comment = Some(b'#');
    for start in ["", "Song,Date,Number of Plays\n"] {
        let input = start.as_bytes().chain(io::repeat(b'#'));
        assert_eq!(kind(&run(input, &options).unwrap_err()), "record too long");
    }
}

/// A row of the property test: song, day and plays.
fn row() -> impl Strategy<Value = (String, u32, i64)> {
    let song =
        proptest::sample::select(vec!["a", "b;c", "d, e", "f|g", "h\ti", "\"j\"", "k\nl", "", "é"]);
    (song, 1..29_u32, -500..500_i64).prop_map(|(song, day, plays)| (song.to_owned(), day, plays))
}

proptest! {
    #[test]
    fn the_same_rows_give_the_same_result_in_every_dialect(
        rows in proptest::collection::vec(row(), 0..200),
        line_end in proptest::sample::select(vec!["\n", "\r\n"]),
        always_quoted in any::<bool>(),
        announced in any::<bool>(),
        chunk in 1..400_usize,
        memory in proptest::sample::select(vec![0, 1 << 20]),
    ) {
        let file = |delimiter: Delimiter| {
            let separator = char::from(delimiter.byte());
            let mut text = format!("Song{separator}Date{separator}Number of Plays{line_end}");
            if announced {
                text = format!("sep={separator}{line_end}{text}");
            }
            for (song, day, plays) in &rows {
                let special = song.contains(['"', '\n', separator]);
                let song = match always_quoted || special {
                    true => format!("\"{}\"", song.replace('"', "\"\"")),
                    false => song.clone(),
                };
                text += &format!("{song}{separator}2020-02-{day:02}{separator}{plays}{line_end}");
            }
            text
        };
        let aggregated = |delimiter| {
            let options = Options { threads: 3, memory_limit: memory, ..options(&[]) };
            let mut outputs = Memory::default();
            let sizes = Sizes { chunk, min_memory: 0, ..Sizes::REAL };
            let input = file(delimiter);
            let done =
                aggregate_in_chunks(input.as_bytes(), &options, &mut outputs, &Unlimited, sizes);
            assert_eq!(done.unwrap().dialect.delimiter, delimiter);
            outputs.result
        };
        let expected = aggregated(Delimiter::Comma);
        for delimiter in Delimiter::ALL {
            prop_assert_eq!(&aggregated(delimiter), &expected, "{:?}", delimiter);
        }
    }
}
