//! Compares the engine with a reader that parses byte by byte, and with itself resumed at every
//! checkpoint.

use std::io::{self, Read};

use common::mail_address::MAX_BYTES;
use common::report::{LoadCheckpoint, MAX_BATCH_BYTES, MAX_BATCH_ROWS, RejectedRow};
use proptest::prelude::*;

use super::*;
use csv_input::{Delimiter, Dialect, InputError, Records};

/// A record of the plain reader: offset, line, fields, and whether a quote is never closed.
type Plain = (u64, u64, Vec<Vec<u8>>, bool);

/// Reads RFC 4180 byte by byte.
fn plain(input: &[u8]) -> Vec<Plain> {
    let mut records = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < input.len() {
        if matches!(input[at], b'\r' | b'\n') {
            line += u64::from(input[at] == b'\n');
            at += 1;
            continue;
        }
        let (start, start_line) = (at as u64, line);
        let (mut fields, mut field) = (Vec::new(), Vec::new());
        let (mut quoted, mut fresh) = (false, true);
        while at < input.len() {
            let byte = input[at];
            at += 1;
            line += u64::from(byte == b'\n');
            match byte {
                b'"' if quoted && input.get(at) == Some(&b'"') => {
                    field.push(b'"');
                    at += 1;
                }
                b'"' if quoted => quoted = false,
                b'"' if fresh => quoted = true,
                b',' if !quoted => {
                    fields.push(std::mem::take(&mut field));
                    fresh = true;
                    continue;
                }
                b'\r' | b'\n' if !quoted => break,
                _ => field.push(byte),
            }
            fresh = false;
        }
        fields.push(field);
        records.push((start, start_line, fields, quoted));
    }
    records
}

fn records(input: impl Read, position: Position) -> Vec<Plain> {
    let mut records = Records::new(input, position, Dialect::default());
    records.skip_line_ends().unwrap();
    let mut all = Vec::new();
    loop {
        let offset = records.position().offset;
        let Some(record) = records.next_record().unwrap() else { return all };
        // The fields of an unterminated record are not compared.
        let fields = if record.unterminated { 0 } else { record.field_count() };
        let fields = (0..fields).map(|index| record.field(index).to_vec());
        all.push((offset, record.line, fields.collect(), record.unterminated));
    }
}

/// Returns a few bytes per read.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len()).min(self.0.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

/// Bytes that are special in CSV.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b",",
        b"\"",
        b"\"\"",
        b"\n",
        b"\r",
        b"\r\n",
        b"a",
        b" ",
        b"x@y.z",
        b"\xEF\xBB\xBF",
        b"\xFF",
        "ä".as_bytes(),
        b"\x01",
        b"Ada,ada@example.org\n",
        b"\"Li, \"\"Bo\"\"\",li@example.org\r\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..60)
        .prop_map(|pieces| pieces.concat())
}

fn all(content: &[u8], max_rows: usize, from: Option<LoadCheckpoint>) -> Vec<Batch> {
    let columns = read_header(content, DialectOptions::default()).unwrap();
    let rest = &content[columns.offset(from.as_ref()) as usize..];
    let mut batches =
        Batches::resume(rest, columns, from, "of the file".to_owned()).with_max_rows(max_rows);
    std::iter::from_fn(|| batches.next().unwrap()).collect()
}

type Loaded = (Vec<(u64, String, String)>, Vec<RejectedRow>);

fn joined(batches: Vec<Batch>) -> Loaded {
    let mut all = Loaded::default();
    for batch in batches {
        all.0.extend(batch.rows);
        all.1.extend(batch.rejected);
    }
    all
}

proptest! {
    #[test]
    fn records_are_those_of_a_plain_reader(input in nasty(), step in 1..9_usize) {
        let mut expected = plain(&input);
        for (_, _, fields, unterminated) in &mut expected {
            if *unterminated {
                fields.clear();
            }
        }
        let found = records(Trickle(&input, step), Position { offset: 0, line: 1 });
        prop_assert_eq!(&found, &expected);
        // The same when reading starts at any record.
        for (index, (offset, line, ..)) in expected.iter().enumerate() {
            let position = Position { offset: *offset, line: *line };
            prop_assert_eq!(&records(&input[*offset as usize..], position)[..], &expected[index..]);
        }
    }

    #[test]
    fn reading_resumes_at_every_checkpoint(rest in nasty(), max_rows in 1..6_usize) {
        let content = [b"name,email\n".as_slice(), &rest].concat();
        let once = joined(all(&content, MAX_BATCH_ROWS, None));
        let batches = all(&content, max_rows, None);
        let (mut before, mut last) = (Loaded::default(), None);
        for batch in &batches {
            prop_assert_eq!(&batch.from, &last);
            prop_assert!(batch.rows.len() + batch.rejected.len() <= max_rows);
            before.0.extend(batch.rows.clone());
            before.1.extend(batch.rejected.clone());
            let LoadCheckpoint { row, loaded, rejected, .. } = batch.checkpoint;
            prop_assert_eq!((loaded, rejected), (before.0.len() as u64, before.1.len() as u64));
            prop_assert_eq!(row, loaded + rejected);
            let after = joined(all(&content, 7, Some(batch.checkpoint.clone())));
            let both: Loaded = (
                before.0.iter().chain(&after.0).cloned().collect(),
                before.1.iter().chain(&after.1).cloned().collect(),
            );
            prop_assert_eq!(&both, &once);
            last = Some(batch.checkpoint.clone());
        }
        prop_assert_eq!(&before, &once);
        // Each record is a row, and nothing else is.
        let rows = plain(&content).len() - 1;
        prop_assert_eq!(once.0.len() + once.1.len(), rows);
    }
}

fn rows(content: &[u8]) -> Loaded {
    joined(all(content, MAX_BATCH_ROWS, None))
}

fn rejected(line: &str) -> RejectedRow {
    let (loaded, mut rejected) = rows(format!("name,email\n{line}\n").as_bytes());
    assert_eq!(loaded, [], "{line}");
    rejected.remove(0)
}

#[test]
fn columns_are_found_by_name_and_values_trimmed() {
    let content = "\u{feff}id, email ,note,name\r\n\r\n1, ada@example.org ,x,\"Lovelace, Ada\" \r\n\
                   2,bo@example.org,\"two\nlines\",  Bo\u{a0}\n";
    let (loaded, rejected) = rows(content.as_bytes());
    let row = |number, name: &str, email: &str| (number, name.to_owned(), email.to_owned());
    assert_eq!(
        loaded,
        [row(1, "Lovelace, Ada", "ada@example.org"), row(2, "Bo", "bo@example.org")]
    );
    assert_eq!(rejected, []);
}

#[test]
fn rejected_rows_name_position_and_reason() {
    let content = b"name,email\nAda,ada@example.org\n,x@example.org\n\"B\no\",bo@example.org\n\
        Cy,cy\nDi,\n\xFF,e@example.org\nonly one\na,b,c\n\nEd,ed@example.org\n\"Fay,f@example.org\n";
    let (loaded, rejected) = rows(content);
    assert_eq!(loaded.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 9]);
    let found: Vec<_> = rejected
        .iter()
        .map(|row| {
            (row.row, row.line, row.column.as_deref(), row.value.as_deref(), row.reason.as_str())
        })
        .collect();
    let no_at = "is not an e-mail address: Missing separator character '@'";
    assert_eq!(
        found,
        [
            (2, 3, Some("name"), Some(""), "is empty"),
            (3, 4, Some("name"), Some("B\\no"), "has a control character (U+000A)"),
            (4, 6, Some("email"), Some("cy"), no_at),
            (5, 7, Some("email"), Some(""), "is empty"),
            (6, 8, Some("name"), None, "is not UTF-8 text"),
            (7, 9, None, None, "the row has 1 field, the header 2"),
            (8, 10, None, None, "the row has 3 fields, the header 2"),
            (10, 13, None, None, "a quote is opened in this row and never closed"),
        ]
    );
}

#[test]
fn addresses_are_validated() {
    for good in [
        "ada@example.org",
        "ada.lovelace+list@mail.example.co.uk",
        "ada@intranet",
        "o'neil@example.org",
        "jürgen@müller.example",
        "\"\"\"much more\"\"@example.org\"",
        "info@उदाहरण.परीक्षा",
        "info@ตัวอย่าง.ไทย",
        "தமிழ்@உதாரணம்.பரிட்சை",
    ] {
        let content = format!("name,email\nx,{good}\n");
        assert_eq!(rows(content.as_bytes()).1, [], "{good}");
    }
    for bad in [
        "ada",
        "ada@",
        "@example.org",
        "ada@@example.org",
        "a da@example.org",
        "ada@exa mple.org",
        "Ada <ada@example.org>",
        "<ada@example.org>",
        "ada@[127.0.0.1]",
        "ada@example..org",
        "ada@.org",
        ".ada@example.org",
        "ada@-example.org",
        "a\0@example.org",
    ] {
        let row = rejected(&format!("x,{bad}"));
        assert_eq!(row.column.as_deref(), Some("email"), "{bad}");
        assert!(row.reason.starts_with("is not an e-mail address: "), "{}", row.reason);
    }
}

#[test]
fn addresses_are_loaded_in_composed_form() {
    let (loaded, rejected) = rows("name,email\nJose\u{301},jose\u{301}@example.org\n".as_bytes());
    assert_eq!(rejected, []);
    assert_eq!(loaded, [(1, "Jose\u{301}".to_owned(), "josé@example.org".to_owned())]);
}

#[test]
fn lengths_are_limited() {
    let domain = format!("@{}.org", ["d".repeat(61), "d".repeat(61), "d".repeat(61)].join("."));
    let longest = "a".repeat(MAX_BYTES - domain.len()) + &domain;
    let name = "ä".repeat(MAX_NAME_CHARS);
    let content = format!("name,email\n{name},{longest}\n");
    assert_eq!(rows(content.as_bytes()).1, []);

    let row = rejected(&format!("{name}ä,{longest}"));
    assert_eq!(row.reason, "has more than 255 characters");
    assert_eq!(row.value.unwrap(), "ä".repeat(100) + "…");
    let row = rejected(&format!("x,a{longest}"));
    assert_eq!(row.reason, "has more than 254 bytes");
}

#[test]
fn invalid_headers_are_refused() {
    for (content, words) in [
        (&b""[..], "no header"),
        (b"\n\n", "no header"),
        (b"name,post\nx,y\n", "lacks the column `email`; it has `name`, `post`"),
        (b"Mail,name,mail\n", "columns 1 and 3"),
        (b"name,email,name\n", "columns 1 and 3"),
        (b"name,\"email\nx,y\n", "never closed"),
        (b"name,\xFF,email\n", "`\\xFF`"),
        (b"PK\x03\x04zip", "ZIP"),
    ] {
        let error = read_header(content, DialectOptions::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_check_counts_all_bad_rows_and_names_the_first() {
    let content = "email,name\n".to_owned() + &"no,x\nok@example.org,y\n".repeat(150);
    let LoadError::BadRows(bad) =
        check(content.as_bytes(), DialectOptions::default(), |_| Ok(())).unwrap_err()
    else {
        unreachable!("it has bad rows")
    };
    assert_eq!((bad.count, bad.first.len()), (150, 100));
    let first = &bad.first[0];
    assert_eq!((first.line, first.column, first.field.as_deref()), (2, Some(1), Some("email")));
    assert!(first.reason.starts_with("`no` is not an e-mail address"), "{}", first.reason);
    assert_eq!(
        check(&b"name,email\n"[..], DialectOptions::default(), |_| Ok(())).unwrap().count,
        2
    );
    let ended =
        check(content.as_bytes(), DialectOptions::default(), |_| Err(Interrupted)).unwrap_err();
    assert!(matches!(ended, LoadError::Interrupted(_)));
}

#[test]
fn batches_respect_the_limits() {
    let row = format!("{},{}@example.org\n", "東".repeat(255), "a".repeat(60));
    let content = "name,email\n".to_owned() + &row.repeat(5_000);
    let batches = all(content.as_bytes(), usize::MAX, None);
    assert!((5..8).contains(&batches.len()), "{} batches", batches.len());
    for batch in &batches {
        let bytes: usize = batch.rows.iter().map(|row| row.1.len() + row.2.len()).sum();
        assert!(batch.rows.len() <= MAX_BATCH_ROWS && bytes <= MAX_BATCH_BYTES);
    }
    assert_eq!(joined(batches).0.len(), 5_000);
}

#[test]
fn an_endless_record_is_refused() {
    let input = io::Read::chain(&b"name,email\nx,\""[..], io::repeat(b'x'));
    let mut rows = Rows::from_start(input, DialectOptions::default()).unwrap();
    assert!(matches!(
        rows.next(),
        Err(LoadError::Input(InputError::RecordTooLong { line: 2, in_quotes: true }))
    ));
    let input = io::Read::chain(&b"name,email\n"[..], io::repeat(b','));
    let mut rows = Rows::from_start(input, DialectOptions::default()).unwrap();
    assert!(matches!(rows.next(), Err(LoadError::Input(InputError::TooManyFields { line: 2 }))));
}

#[test]
fn other_delimiters_are_detected_and_kept_at_checkpoints() {
    let content = "\u{FEFF}sep=;\r\nemail;name\r\na@example.org;\"x;y\"\r\nb@example.org;z\r\n";
    let columns = read_header(content.as_bytes(), DialectOptions::default()).unwrap();
    assert_eq!(columns.dialect().delimiter, Delimiter::Semicolon);
    let batches = all(content.as_bytes(), 1, None);
    let rows = joined(batches.clone()).0;
    let expected = [(1, "x;y", "a@example.org"), (2, "z", "b@example.org")];
    assert_eq!(rows, expected.map(|(row, name, email)| (row, name.to_owned(), email.to_owned())));
    let resumed = all(content.as_bytes(), 1, Some(batches[0].checkpoint.clone()));
    assert_eq!(joined(resumed).0, rows[1..]);
    let given = DialectOptions { delimiter: Some(Delimiter::Comma), ..Default::default() };
    let error = read_header(&b"name;email\n"[..], given).unwrap_err().to_string();
    assert!(error.contains("pass delimiter=semicolon"), "{error}");
}

#[test]
fn columns_have_other_names() {
    for header in ["Name,EMAIL", "Full Name,E-Mail", "Nom;Adresse e-mail", "NAME\tEmail Address"] {
        let delimiter = header.chars().find(|character| ",;\t".contains(*character)).unwrap();
        let content = format!("{header}\nAda{delimiter}ada@example.org\n");
        let rows = joined(all(content.as_bytes(), 10, None)).0;
        assert_eq!(rows, [(1, "Ada".to_owned(), "ada@example.org".to_owned())], "{header}");
    }
}

#[test]
fn comments_are_no_rows_and_loads_resume_behind_them() {
    let options = DialectOptions { comment: Some(b'#'), quote: Some(b'\''), ..Default::default() };
    let content = "# people\nname,email\n'a, b',a@example.org\n#c\n\n# d\n\"e,e@example.org\n# end";
    let read = |from: Option<LoadCheckpoint>| -> Vec<Batch> {
        let columns = read_header(content.as_bytes(), options).unwrap();
        let rest = &content.as_bytes()[columns.offset(from.as_ref()) as usize..];
        let batches = Batches::resume(rest, columns, from, "of the file".to_owned());
        let mut batches = batches.with_max_rows(1);
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    };
    let batches = read(None);
    assert_eq!(batches.iter().map(|batch| &*batch.rows[0].1).collect::<Vec<_>>(), ["a, b", "\"e"]);
    assert_eq!(batches[1].checkpoint.offset, content.len() as u64);
    assert_eq!(read(Some(batches[0].checkpoint.clone()))[..], batches[1..]);
}
