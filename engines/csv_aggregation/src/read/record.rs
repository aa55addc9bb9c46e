//! Scans arbitrary records sequentially: the slow path for everything that is not regular.
//!
//! Records are those of RFC 4180 as the `csv` crate reads it, with the bytes of the dialect. A quote
//! opens a quoted field only as its first byte. Inside, `""` is a quote. Bytes after the closing
//! quote belong to the field. `\r`, `\n` and `\r\n` end a record. Blank lines are skipped, and so are
//! comments, which end with `\n` or the file.

use csv::ByteRecord;

use csv_input::{Dialect, InputError, MAX_FIELDS, MAX_RECORD};

/// The extent of a record within a slice of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedRecord {
    /// The first byte after leading blank lines.
    pub(crate) start: usize,
    /// The end, including the line end.
    pub(crate) end: usize,
    /// Whether the record ends with a line end, not with the end of the bytes.
    pub(crate) terminated: bool,
    /// Whether the bytes end inside quotes.
    pub(crate) in_quotes: bool,
    /// The number of fields.
    pub(crate) fields: u64,
}

impl ScannedRecord {
    /// Fails if the record has too many bytes or fields. `line` is the line on which it starts.
    pub(crate) fn check_length(&self, line: u64, bytes: &[u8]) -> Result<(), InputError> {
        let line_end = usize::from(self.terminated);
        let length = (self.end - self.start - line_end) as u64;
        // A `\r` before the `\n` is part of the line end.
        let length = length - u64::from(self.terminated && bytes[..self.end].ends_with(b"\r\n"));
        if length > MAX_RECORD {
            return Err(InputError::RecordTooLong { line, in_quotes: self.in_quotes });
        }
        if self.fields > MAX_FIELDS as u64 {
            return Err(InputError::TooManyFields { line });
        }
        Ok(())
    }
}

/// What follows line ends and comments.
pub(crate) enum Skipped {
    /// A record starts here.
    Record(usize),
    /// Nothing follows.
    All,
    /// A comment starts here, and has no end yet.
    Comment(usize),
}

/// Skips line ends and comments, which belong to no record.
pub(crate) fn skip_blank(bytes: &[u8], dialect: Dialect) -> Skipped {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(length) = rest.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
            return Skipped::All;
        };
        at += length;
        if dialect.comment != Some(bytes[at]) {
            return Skipped::Record(at);
        }
        match memchr::memchr(b'\n', &bytes[at..]) {
            Some(length) => at += length + 1,
            None => return Skipped::Comment(at),
        }
    }
}

/// Finds the first record of `bytes`, and stores its fields in `fields` if given. `None` if there
/// are only blank lines and comments.
pub(crate) fn first(
    bytes: &[u8],
    dialect: Dialect,
    mut fields: Option<&mut ByteRecord>,
) -> Option<ScannedRecord> {
    let delimiter = dialect.delimiter.byte();
    if let Some(fields) = &mut fields {
        fields.clear();
    }
    let start = match skip_blank(bytes, dialect) {
        Skipped::Record(start) => start,
        Skipped::All | Skipped::Comment(_) => return None,
    };
    let mut field = Vec::new();
    let mut at = start;
    let mut count = 0;
    loop {
        field.clear();
        let mut quoted = false;
        if bytes.get(at) == Some(&dialect.quote) {
            at += 1;
            quoted = true;
            while quoted {
                let escape = dialect.escape.unwrap_or(dialect.quote);
                let Some(length) = memchr::memchr2(dialect.quote, escape, &bytes[at..]) else {
                    field.extend_from_slice(&bytes[at..]);
                    at = bytes.len();
                    break;
                };
                field.extend_from_slice(&bytes[at..at + length]);
                at += length + 1;
                let is_escape = bytes[at - 1] != dialect.quote;
                match bytes.get(at) {
                    Some(byte) if is_escape || *byte == dialect.quote => {
                        field.push(*byte);
                        at += 1;
                    }
                    // The bytes end after an escape, within quotes.
                    None if is_escape => break,
                    _ => quoted = false,
                }
            }
        }
        let rest = &bytes[at..];
        let length = memchr::memchr3(delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
        field.extend_from_slice(&rest[..length]);
        at += length;
        if let Some(fields) = &mut fields {
            fields.push_field(&field);
        }
        count += 1;
        let end = match bytes.get(at) {
            Some(byte) if *byte == delimiter => {
                at += 1;
                continue;
            }
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => at + 2,
            Some(_) => at + 1,
            None => at,
        };
        let (terminated, in_quotes) = (end > at, quoted);
        return Some(ScannedRecord { start, end, terminated, in_quotes, fields: count });
    }
}

/// The number of `\n` in `bytes`.
pub(crate) fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
