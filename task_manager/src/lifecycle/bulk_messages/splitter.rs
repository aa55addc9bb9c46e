//! Splits a streamed request body into documents: the lines of NDJSON, or the elements of one JSON
//! array.
//!
//! # Invariants
//! - At most one document is buffered, and at most [`LONGEST_DOCUMENT`] of it.
//!
//! # Not here
//! Parsing documents (`document`): this module only finds where they end.

/// The longest document, in bytes: the longest message with every character escaped, plus a margin.
pub const LONGEST_DOCUMENT: usize = 256 << 10;

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One document per line; blank lines are skipped.
    Lines,
    /// The elements of a JSON array.
    Array,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Document(Vec<u8>),
    TooLong,
}

/// See the module.
#[derive(Debug)]
pub struct Splitter {
    format: Format,
    state: State,
    /// How much of a byte order mark was skipped; none after the position where it may occur.
    mark: Option<usize>,
    document: Vec<u8>,
    is_too_long: bool,
    /// The number of open brackets and braces in the document.
    depth: u32,
    string: InString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the opening bracket.
    BeforeArray,
    /// After the opening bracket, before the first document.
    ArrayStart,
    /// In or before a document.
    InDocument,
    /// After the closing bracket.
    AfterArray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    /// After a backslash.
    Escaped,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Splitter {
    pub fn new(format: Format) -> Self {
        let state = match format {
            Format::Lines => State::InDocument,
            Format::Array => State::BeforeArray,
        };
        Self {
            format,
            state,
            mark: Some(0),
            document: Vec::new(),
            is_too_long: false,
            depth: 0,
            string: InString::No,
        }
    }

    /// Continues with `bytes`; adds the documents that end in them to `found`.
    ///
    /// # Errors
    /// The body is malformed: the reason, in words.
    pub fn push(&mut self, bytes: &[u8], found: &mut Vec<Found>) -> Result<(), String> {
        for &byte in bytes {
            if let Some(at) = self.mark.take()
                && BYTE_ORDER_MARK.get(at) == Some(&byte)
            {
                self.mark = Some(at + 1);
                continue;
            }
            match self.format {
                Format::Lines if byte == b'\n' => self.end_line(found),
                Format::Lines => self.keep(byte),
                Format::Array => self.array(byte, found)?,
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// It ends too early: the reason, in words.
    pub fn finish(&mut self, found: &mut Vec<Found>) -> Result<(), String> {
        match (self.format, self.state) {
            (Format::Lines, _) => {
                self.end_line(found);
                Ok(())
            }
            (Format::Array, State::AfterArray) => Ok(()),
            (Format::Array, State::BeforeArray) => {
                Err("The body does not contain a JSON array.".to_owned())
            }
            (Format::Array, State::ArrayStart | State::InDocument) => {
                Err("The JSON array ends here without its closing bracket.".to_owned())
            }
        }
    }

    fn end_line(&mut self, found: &mut Vec<Found>) {
        if self.is_too_long || !self.document.trim_ascii().is_empty() {
            self.end(found);
        }
        self.document.clear();
    }

    fn array(&mut self, byte: u8, found: &mut Vec<Found>) -> Result<(), String> {
        let is_blank = byte.is_ascii_whitespace();
        match (self.state, byte) {
            (State::BeforeArray, b'[') => self.state = State::ArrayStart,
            (State::BeforeArray | State::ArrayStart | State::AfterArray, _) if is_blank => {}
            (State::BeforeArray, _) => {
                return Err("The body is not a JSON array: it does not start with `[`.".to_owned());
            }
            (State::ArrayStart, b']') => self.state = State::AfterArray,
            (State::ArrayStart, _) => {
                self.state = State::InDocument;
                self.in_document(byte, found);
            }
            (State::InDocument, _) => self.in_document(byte, found),
            (State::AfterArray, _) => {
                return Err("There is data after the end of the JSON array.".to_owned());
            }
        }
        Ok(())
    }

    fn in_document(&mut self, byte: u8, found: &mut Vec<Found>) {
        match (self.string, byte) {
            (InString::Escaped, _) => self.string = InString::Yes,
            (InString::Yes, b'\\') => self.string = InString::Escaped,
            (InString::Yes, b'"') => self.string = InString::No,
            (InString::Yes, _) => {}
            (InString::No, b'"') => self.string = InString::Yes,
            (InString::No, b',') if self.depth == 0 => return self.end(found),
            (InString::No, b']') if self.depth == 0 => {
                self.state = State::AfterArray;
                return self.end(found);
            }
            (InString::No, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
            (InString::No, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (InString::No, _) => {}
        }
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        if self.document.len() < LONGEST_DOCUMENT {
            self.document.push(byte);
        } else {
            self.is_too_long = true;
        }
    }

    fn end(&mut self, found: &mut Vec<Found>) {
        let document = std::mem::take(&mut self.document);
        found.push(match std::mem::take(&mut self.is_too_long) {
            true => Found::TooLong,
            false => Found::Document(document),
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The documents, trimmed, and the error at the end, if any.
    fn split(format: Format, body: &[u8], piece: usize) -> (Vec<String>, Result<(), String>) {
        let mut splitter = Splitter::new(format);
        let mut found = Vec::new();
        let mut result = Ok(());
        for bytes in body.chunks(piece) {
            result = result.and_then(|()| splitter.push(bytes, &mut found));
        }
        let result = result.and_then(|()| splitter.finish(&mut found));
        let shown = |found| match found {
            Found::Document(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Found::TooLong => "too long".to_owned(),
        };
        (found.into_iter().map(shown).collect(), result)
    }

    #[test]
    fn arrays_are_split_at_top_level_commas() {
        for (body, expected) in [
            ("[]", vec![]),
            (" [ ] \n", vec![]),
            ("\u{FEFF}[1]", vec!["1"]),
            (
                "[{\"a\": [1, 2]}, {\"b\": \"],\\\"}\"}]",
                vec!["{\"a\": [1, 2]}", "{\"b\": \"],\\\"}\"}"],
            ),
            ("[1, \"x\", null]", vec!["1", "\"x\"", "null"]),
            ("[1,,2,]", vec!["1", "", "2", ""]),
            ("[\"\\\\\", 2]", vec!["\"\\\\\"", "2"]),
        ] {
            for piece in [1, 3, 1_000] {
                let (found, result) = split(Format::Array, body.as_bytes(), piece);
                assert_eq!(
                    (found, result),
                    (expected.iter().map(ToString::to_string).collect(), Ok(())),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn malformed_arrays_are_reported() {
        for (body, reason) in [
            ("", "does not contain a JSON array"),
            ("{}", "does not start with `[`"),
            ("[1, 2", "without its closing bracket"),
            ("[", "without its closing bracket"),
            ("[1] [2]", "after the end"),
            ("[\"a]", "without its closing bracket"),
        ] {
            let error = split(Format::Array, body.as_bytes(), 2).1.unwrap_err();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn each_nonblank_line_is_a_document() {
        let body = "\u{FEFF}{\"a\": 1}\r\n\n  \nx\n{\"b\": 2}";
        for piece in [1, 2, 1_000] {
            let (found, result) = split(Format::Lines, body.as_bytes(), piece);
            assert_eq!(
                (found, result),
                (vec!["{\"a\": 1}".into(), "x".into(), "{\"b\": 2}".into()], Ok(()))
            );
        }
    }

    #[test]
    fn an_endless_document_is_not_buffered() {
        for format in [Format::Lines, Format::Array] {
            let mut splitter = Splitter::new(format);
            let mut found = Vec::new();
            splitter.push(b"[", &mut found).unwrap();
            for _ in 0..1_000 {
                splitter.push(&[b'x'; 10_000], &mut found).unwrap();
                assert!(splitter.document.capacity() <= 2 * LONGEST_DOCUMENT);
            }
            splitter.push(b",\n7", &mut found).unwrap();
            assert_eq!(found, [Found::TooLong]);
            splitter.push(b"]\n", &mut found).unwrap();
            splitter.finish(&mut found).unwrap();
            assert!(matches!(&found[1], Found::Document(_)));
        }
    }

    proptest! {
        #[test]
        fn the_splitter_agrees_with_a_json_parser(
            texts in prop::collection::vec("\\PC{0,20}", 0..10), piece in 1_usize..50
        ) {
            let values: Vec<serde_json::Value> =
                texts.iter().map(|text| serde_json::json!({"message": text, "more": [text, {}]})).collect();
            for body in [serde_json::to_string(&values).unwrap(), serde_json::to_string_pretty(&values).unwrap()] {
                let (found, result) = split(Format::Array, body.as_bytes(), piece);
                prop_assert_eq!(result, Ok(()));
                let read: Vec<serde_json::Value> =
                    found.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
                prop_assert_eq!(&read, &values);
            }
        }

        #[test]
        fn splitting_does_not_depend_on_chunk_boundaries(body: Vec<u8>, piece in 1_usize..9) {
            for format in [Format::Lines, Format::Array] {
                prop_assert_eq!(split(format, &body, piece), split(format, &body, body.len().max(1)));
            }
        }
    }
}
