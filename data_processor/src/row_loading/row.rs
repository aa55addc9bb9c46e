//! The rows of a file, and their validation.

use std::borrow::Cow;
use std::io::Read;

use common::mail_address::MailAddress;
use common::plural::plural;
use common::report::{LoadCheckpoint, RejectedRow};

use super::header::{EMAIL, NAME, records};
use super::{Columns, LoadError, Position};
use csv_input::{DialectOptions, NOT_UTF8, Record, Records, Text};

/// The maximum length of a name in characters: most systems that import names can store as many.
pub const MAX_NAME_CHARS: usize = 255;

/// The number of characters of an invalid value that are shown.
const SHOWN_CHARS: usize = 100;

/// One row of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its number, from 1; the header does not count.
    pub number: u64,
    /// Name and e-mail address, both trimmed and the address in composed form (NFC); or what is
    /// wrong with the row.
    pub content: Result<(&'a str, Cow<'a, str>), RejectedRow>,
}

/// Reads a file row by row.
pub struct Rows<R> {
    records: Records<R>,
    columns: Columns,
    /// The number of the latest row.
    number: u64,
}

impl<R: Read> Rows<Text<R>> {
    /// The rows of a whole file. Positions are those in its text as UTF-8.
    ///
    /// # Errors
    /// The header is invalid, or reading failed.
    pub fn from_start(input: R, dialect: DialectOptions) -> Result<Self, LoadError> {
        let mut records = records(input, dialect)?;
        let columns = Columns::read(&mut records, dialect)?;
        Ok(Self { records, columns, number: 0 })
    }
}

impl<R: Read> Rows<R> {
    /// The rows of a file with these columns after `checkpoint`. `input` must start there: see
    /// [`Columns::offset`].
    pub fn resume(input: R, columns: Columns, checkpoint: Option<&LoadCheckpoint>) -> Self {
        let (position, number) = match checkpoint {
            None => (columns.rows_at, 0),
            Some(LoadCheckpoint { row, offset, line, .. }) => {
                (Position { offset: *offset, line: *line }, *row)
            }
        };
        Self { records: Records::new(input, position, columns.dialect), columns, number }
    }

    /// The columns of the file.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Where the next row starts.
    pub fn position(&self) -> Position {
        self.records.position()
    }

    /// The number of the latest row; 0 before the first one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next row.
    ///
    /// # Errors
    /// A record is too long, or reading failed.
    #[expect(clippy::should_implement_trait, reason = "a row borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, LoadError> {
        let Some(record) = self.records.next_record()? else { return Ok(None) };
        self.number += 1;
        let (number, line) = (self.number, record.line);
        let content = check(&record, &self.columns).map_err(|fault| RejectedRow {
            row: number,
            line,
            column: fault.column.map(str::to_owned),
            value: fault.value.map(shortened),
            reason: fault.reason,
        });
        Ok(Some(Row { number, content }))
    }
}

impl Columns {
    /// The offset in the file of the first row after `checkpoint`, in bytes.
    #[must_use]
    pub fn offset(&self, checkpoint: Option<&LoadCheckpoint>) -> u64 {
        checkpoint.map_or(self.rows_at.offset, |checkpoint| checkpoint.offset)
    }
}

/// What is wrong with a row.
struct Fault<'a> {
    column: Option<&'static str>,
    value: Option<&'a str>,
    reason: String,
}

impl<'a> Fault<'a> {
    fn of_row(reason: String) -> Self {
        Self { column: None, value: None, reason }
    }
}

fn check<'a>(record: &Record<'a>, columns: &Columns) -> Result<(&'a str, Cow<'a, str>), Fault<'a>> {
    if record.unterminated {
        let reason = "a quote is opened in this row and never closed";
        return Err(Fault::of_row(reason.to_owned()));
    }
    if record.field_count() != columns.count {
        let (fields, expected) = (record.field_count(), columns.count);
        let noun = plural(fields as u64, "field", "fields");
        return Err(Fault::of_row(format!("the row has {fields} {noun}, the header {expected}")));
    }
    let name = text(record, columns.name, NAME)?;
    let email = text(record, columns.email, EMAIL)?;
    let fault = |column, value, reason: &str| {
        Err(Fault { column: Some(column), value: Some(value), reason: reason.to_owned() })
    };
    if let Some(control) = name.chars().find(|character| character.is_control()) {
        let reason = format!("has a control character (U+{:04X})", u32::from(control));
        return fault(NAME, name, &reason);
    }
    if name.len() > MAX_NAME_CHARS && name.chars().count() > MAX_NAME_CHARS {
        return fault(NAME, name, &format!("has more than {MAX_NAME_CHARS} characters"));
    }
    match MailAddress::parse(email) {
        Ok(address) => Ok((name, address.into_text())),
        Err(error) => fault(EMAIL, email, &error.to_string()),
    }
}

/// A required field, trimmed.
fn text<'a>(record: &Record<'a>, index: usize, column: &'static str) -> Result<&'a str, Fault<'a>> {
    match std::str::from_utf8(record.field(index)).map(str::trim) {
        Ok("") => {
            Err(Fault { column: Some(column), value: Some(""), reason: "is empty".to_owned() })
        }
        Ok(text) => Ok(text),
        Err(_) => {
            let reason = NOT_UTF8.to_owned();
            Err(Fault { column: Some(column), value: None, reason })
        }
    }
}

/// An excerpt of an invalid value: its first characters, on one line.
fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_CHARS {
            return shown + "…";
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
