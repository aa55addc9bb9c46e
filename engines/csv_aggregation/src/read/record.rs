//! Reads records byte by byte, whatever they hold (RFC 4180 as the `csv` crate reads it).
//!
//! A quote opens a field only as its first byte; `""` inside is a quote; bytes behind a closing
//! quote belong to the field; `\r`, `\n` and `\r\n` end a record; blank lines are no records.

use csv::ByteRecord;

use csv_input::{InputError, MAX_FIELDS, MAX_RECORD};

/// A record at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it starts, behind blank lines.
    pub(crate) start: usize,
    /// Where it ends, its line end included.
    pub(crate) end: usize,
    /// Whether a line end ended it, and not the end of the bytes.
    pub(crate) ended: bool,
    /// Whether it reaches the end of the bytes inside quotes.
    pub(crate) quoted: bool,
    /// How many fields it has.
    pub(crate) fields: u64,
}

impl Found {
    /// Whether it is no longer than a record may be; `line` is the one on which it starts.
    pub(crate) fn check_length(&self, line: u64, bytes: &[u8]) -> Result<(), InputError> {
        let line_end = usize::from(self.ended);
        let length = (self.end - self.start - line_end) as u64;
        // A `\r` before the `\n` is part of the line end.
        let length = length - u64::from(self.ended && bytes[..self.end].ends_with(b"\r\n"));
        if length > MAX_RECORD {
            let in_quotes = self.quoted;
            return Err(InputError::RecordTooLong { line, in_quotes });
        }
        if self.fields > MAX_FIELDS as u64 {
            return Err(InputError::TooManyFields { line });
        }
        Ok(())
    }
}

/// Finds the first record of `bytes` and, where `fields` is given, puts its fields there. `None`
/// where there are only blank lines.
pub(crate) fn first(bytes: &[u8], mut fields: Option<&mut ByteRecord>) -> Option<Found> {
    if let Some(fields) = &mut fields {
        fields.clear();
    }
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let mut field = Vec::new();
    let mut at = start;
    let mut count = 0;
    loop {
        field.clear();
        let mut quoted = false;
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            quoted = true;
            while quoted {
                let Some(length) = memchr::memchr(b'"', &bytes[at..]) else {
                    field.extend_from_slice(&bytes[at..]);
                    at = bytes.len();
                    break;
                };
                field.extend_from_slice(&bytes[at..at + length]);
                at += length + 1;
                match bytes.get(at) {
                    Some(b'"') => {
                        field.push(b'"');
                        at += 1;
                    }
                    _ => quoted = false,
                }
            }
        }
        let rest = &bytes[at..];
        let length = memchr::memchr3(b',', b'\n', b'\r', rest).unwrap_or(rest.len());
        field.extend_from_slice(&rest[..length]);
        at += length;
        if let Some(fields) = &mut fields {
            fields.push_field(&field);
        }
        count += 1;
        let end = match bytes.get(at) {
            Some(b',') => {
                at += 1;
                continue;
            }
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => at + 2,
            Some(_) => at + 1,
            None => at,
        };
        return Some(Found { start, end, ended: end > at, quoted, fields: count });
    }
}

/// How many lines end in `bytes`.
pub(crate) fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
