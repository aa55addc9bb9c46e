//! The engine against a naive reference on generated files.

use std::collections::BTreeMap;

use csv_input::Dialect;
use proptest::prelude::*;

use super::plain::Reader;
use super::*;

/// The contents of a row.
#[derive(Debug, Clone)]
struct Play {
    song: String,
    day: u32,
    plays: i64,
    note: String,
}

/// The format of a file.
#[derive(Debug, Clone)]
struct Style {
    bom: bool,
    line_end: &'static str,
    last_line_end: bool,
    /// The order of the columns: song, date, plays and two that are not used.
    order: Vec<usize>,
    /// Whether the n-th field is quoted unnecessarily. Repeats, like the lists below.
    quoted: Vec<bool>,
    /// Whether a blank line follows the n-th row.
    blank: Vec<bool>,
    /// The number of bytes that the n-th read returns.
    chunks: Vec<usize>,
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that groups repeat, everything that needs quotes, and bytes that sort nearby.
    proptest::collection::vec(
        proptest::sample::select(vec!["a", "b", ",", "\"", "\n", "\r", " ", "é", "東", "\0", "!"]),
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

fn play() -> impl Strategy<Value = Play> {
    let plays = prop_oneof![0..1000_i64, -1_000_000..1_000_000_i64];
    (text(), 1..4_u32, plays, text()).prop_map(|(song, day, plays, note)| Play {
        song,
        day,
        plays,
        note,
    })
}

fn style() -> impl Strategy<Value = Style> {
    (
        any::<bool>(),
        proptest::sample::select(vec!["\n", "\r\n"]),
        any::<bool>(),
        Just((0..5).collect::<Vec<_>>()).prop_shuffle(),
        proptest::collection::vec(any::<bool>(), 1..20),
        proptest::collection::vec(any::<bool>(), 1..8),
        proptest::collection::vec(1..40_usize, 1..20),
    )
        .prop_map(|(bom, line_end, last_line_end, order, quoted, blank, chunks)| Style {
            bom,
            line_end,
            last_line_end,
            order,
            quoted,
            blank,
            chunks,
        })
}

fn file(plays: &[Play], style: &Style) -> String {
    let mut quoted = style.quoted.iter().cycle();
    let mut blank = style.blank.iter().cycle();
    let mut text = if style.bom { "\u{FEFF}".to_owned() } else { String::new() };
    let header = ["Song", "Date", "Number of Plays", "Note", "Empty"].map(str::to_owned);
    let rows = plays.iter().map(|play| {
        let date = format!("2020-02-{:02}", play.day);
        [play.song.clone(), date, play.plays.to_string(), play.note.clone(), String::new()]
    });
    for row in std::iter::once(header).chain(rows) {
        for (index, column) in style.order.iter().enumerate() {
            if index > 0 {
                text += ",";
            }
            let field = &row[*column];
            if *quoted.next().unwrap() || field.contains(['"', ',', '\n', '\r']) {
                text += &format!("\"{}\"", field.replace('"', "\"\""));
            } else {
                text += field;
            }
        }
        text += style.line_end;
        if *blank.next().unwrap() {
            text += style.line_end;
        }
    }
    if !style.last_line_end {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    text
}

fn expected(plays: &[Play]) -> String {
    let mut sums = BTreeMap::new();
    for play in plays {
        *sums.entry((play.song.as_bytes(), play.day)).or_insert(0) += play.plays;
    }
    let mut text = "Song,Date,Number of Plays\n".to_owned();
    for ((song, day), sum) in sums {
        let song = std::str::from_utf8(song).unwrap();
        let song = match song.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", song.replace('"', "\"\"")),
            false => song.to_owned(),
        };
        text += &format!("{song},2020-02-{day:02},{sum}\n");
    }
    text
}

/// Returns the bytes in pieces of these sizes, which repeat.
struct Chunks<'a> {
    rest: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl<'a> Chunks<'a> {
    fn new(rest: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { rest, sizes: sizes.iter().cycle() }
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(*self.sizes.next().unwrap());
        self.rest.read(&mut buffer[..size])
    }
}

/// The lines on which records start, and whether the last one is unterminated: a naive scanner for
/// RFC 4180.
fn naive_records(bytes: &[u8]) -> (Vec<u64>, bool) {
    let (mut lines, mut line) = (Vec::new(), 1);
    let (mut in_record, mut in_quotes, mut field_start) = (false, false, true);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if !in_record && !matches!(byte, b'\r' | b'\n') {
            in_record = true;
            field_start = true;
            lines.push(line);
        }
        line += u64::from(byte == b'\n');
        if in_quotes {
            match byte {
                b'"' if bytes.get(at) == Some(&b'"') => at += 1,
                b'"' => in_quotes = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' if field_start => in_quotes = true,
            b'\r' | b'\n' => in_record = false,
            _ => {}
        }
        field_start = byte == b',';
    }
    (lines, in_quotes)
}

proptest! {
    #[test]
    fn valid_files_give_the_expected_sums(
        plays in proptest::collection::vec(play(), 0..60),
        style in style(),
    ) {
        let input = file(&plays, &style);
        let expected = expected(&plays);
        let outcome = run(Chunks::new(input.as_bytes(), &style.chunks), &options(&[])).unwrap();
        prop_assert_eq!(&outcome.result, &expected);
        prop_assert_eq!(outcome.summary.rows_read, plays.len() as u64);
        prop_assert_eq!(outcome.summary.groups, expected_groups(&plays));
        // In one piece, and the result as the input.
        prop_assert_eq!(&run(input.as_bytes(), &options(&[])).unwrap().result, &expected);
        prop_assert_eq!(&result(&expected), &expected);
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(
        (plays, shuffled) in proptest::collection::vec(play(), 0..30)
            .prop_flat_map(|plays| (Just(plays.clone()), Just(plays).prop_shuffle())),
        style in style(),
    ) {
        prop_assert_eq!(result(&file(&plays, &style)), result(&file(&shuffled, &style)));
    }

    #[test]
    fn records_and_lines_agree_with_a_naive_scanner(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ",", "\"", "\"\"", "\n", "\r", "\r\n", "\n\n", "\u{FEFF}", "x\"y", "\",\"",
            ]),
            0..40,
        ),
        bom in any::<bool>(),
        long in any::<bool>(),
        chunks in proptest::collection::vec(1..40_usize, 1..20),
    ) {
        // More than the bytes that are read before parsing starts.
        let padding = if long { "x,\"y\n\"\r\n".repeat(80) } else { String::new() };
        let body = format!("{padding}{}", parts.concat());
        let body = body.trim_start_matches('\u{FEFF}');
        let (lines, unterminated) = naive_records(body.as_bytes());
        let input = if bom { format!("\u{FEFF}{body}") } else { body.to_owned() };

        let mut reader = Reader::open(Chunks::new(input.as_bytes(), &chunks), &Unlimited, Dialect::default()).unwrap();
        let mut found = Vec::new();
        let mut last_unterminated = false;
        while let Some(row) = reader.next().unwrap() {
            prop_assert!(!last_unterminated, "only the last can be unterminated");
            found.push(row.line);
            last_unterminated = row.unterminated;
        }
        prop_assert_eq!(found, lines);
        prop_assert_eq!(last_unterminated, unterminated);
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(
        header in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        skip in any::<bool>(),
    ) {
        let mut input = Vec::new();
        if header {
            input.extend_from_slice(b"Song,Date,Number of Plays\n");
        }
        input.extend_from_slice(&bytes);
        let on_bad_row = if skip { "skip" } else { "fail" };
        match run(input.as_slice(), &options(&[("on_bad_row", on_bad_row)])) {
            Ok(_) => {}
            Err(error) => {
                prop_assert!(!["read", "write", "spill"].contains(&kind(&error)), "{}", error)
            }
        }
    }
}

fn expected_groups(plays: &[Play]) -> u64 {
    let groups: std::collections::BTreeSet<_> =
        plays.iter().map(|play| (&play.song, play.day)).collect();
    groups.len() as u64
}
