//! The header of a file: the names of the columns and their positions.

use crate::column_names::matching;
use crate::dialect::Delimiter;
use crate::excerpt::{name_excerpt, value_excerpt};

/// How many of the file's columns an error lists.
const LISTED_COLUMNS: usize = 20;

/// The names of a file's columns, trimmed, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    line: u64,
    names: Vec<String>,
}

impl Header {
    /// The header whose record starts on `line`, from 1.
    ///
    /// # Errors
    /// A quote is never closed, or a name is not UTF-8.
    pub fn new<'a>(
        fields: impl IntoIterator<Item = &'a [u8]>,
        line: u64,
        unterminated: bool,
    ) -> Result<Self, HeaderError> {
        if unterminated {
            return Err(HeaderError::Unterminated { line });
        }
        let name = |(column, field): (u64, &'a [u8])| match std::str::from_utf8(field) {
            Ok(name) => Ok(name.trim().to_owned()),
            Err(_) => Err(HeaderError::NotUtf8 { line, column, value: value_excerpt(field) }),
        };
        Ok(Self { line, names: (1..).zip(fields).map(name).collect::<Result<_, _>>()? })
    }

    /// The number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.names.len()
    }

    /// The name of the column at `index`, from 0.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index).map(String::as_str)
    }

    /// The position of each of these columns, from 0. A column that the file does not have under this
    /// very name is found by the name in upper or lower case, or by an alias of the name: see
    /// `column_names`.
    ///
    /// # Errors
    /// A column is missing, or is in the file more than once.
    pub fn positions(&self, columns: &[impl AsRef<str>]) -> Result<Vec<usize>, HeaderError> {
        let mut missing = Vec::new();
        let mut positions = Vec::with_capacity(columns.len());
        for column in columns {
            let column = column.as_ref();
            match *matching(&self.names, column) {
                [index] => positions.push(index),
                [] => missing.push(name_excerpt(column)),
                [first, second, ..] => {
                    return Err(HeaderError::RepeatedColumn {
                        line: self.line,
                        name: name_excerpt(column),
                        first: first as u64 + 1,
                        second: second as u64 + 1,
                    });
                }
            }
        }
        if missing.is_empty() {
            return Ok(positions);
        }
        Err(HeaderError::MissingColumns {
            line: self.line,
            missing,
            present: self
                .names
                .iter()
                .take(LISTED_COLUMNS)
                .map(|name| name_excerpt(name))
                .collect(),
            more: self.names.len().saturating_sub(LISTED_COLUMNS) as u64,
            fitting: None,
        })
    }
}

/// Why a header cannot be used. Lines and columns are counted from 1; names and values are
/// excerpts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file has no record at all.
    #[error("the file is empty: it has no header and no rows")]
    EmptyFile,
    /// A quote is opened in the header and never closed.
    #[error("a quote is opened in the header (line {line}) and never closed")]
    Unterminated {
        /// Where the header starts.
        line: u64,
    },
    /// A name is not UTF-8.
    #[error(
        "`{value}` in the header is not UTF-8 text; pass encoding=windows-1252 if a spreadsheet \
         program wrote the file, or save it as UTF-8"
    )]
    NotUtf8 {
        /// Where the header starts.
        line: u64,
        /// The position of the name.
        column: u64,
        /// The name.
        value: String,
    },
    /// Required columns are missing.
    #[error("{}", missing_columns(missing, present, *more, *fitting))]
    MissingColumns {
        /// Where the header starts.
        line: u64,
        /// The columns that are missing.
        missing: Vec<String>,
        /// The first columns of the file.
        present: Vec<String>,
        /// How many further columns the file has.
        more: u64,
        /// A delimiter with which the header has them.
        fitting: Option<Delimiter>,
    },
    /// A required column is in the file more than once.
    #[error(
        "the header has the column `{name}` more than once (as columns {first} and {second}), \
         so it is not clear which one is meant"
    )]
    RepeatedColumn {
        /// Where the header starts.
        line: u64,
        /// The column.
        name: String,
        /// Its first position.
        first: u64,
        /// Its second position.
        second: u64,
    },
}

impl HeaderError {
    /// Adds to the error of missing columns a delimiter with which the header has them.
    #[must_use]
    pub fn with_fitting(mut self, find: impl FnOnce() -> Option<Delimiter>) -> Self {
        if let Self::MissingColumns { fitting, .. } = &mut self {
            *fitting = find();
        }
        self
    }
}

fn missing_columns(
    missing: &[String],
    present: &[String],
    more: u64,
    fitting: Option<Delimiter>,
) -> String {
    let quoted = |names: &[String]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let columns = if missing.len() == 1 { "the column" } else { "the columns" };
    let mut text =
        format!("the header lacks {columns} {}; it has {}", quoted(missing), quoted(present));
    if more > 0 {
        text += &format!(" and {more} more");
    }
    if let Some(fitting) = fitting {
        let name = fitting.name();
        return text + &format!("; separated by {fitting} it has them: pass delimiter={name}");
    }
    let is_present =
        |name: &str| present.iter().any(|other| name.to_lowercase() == other.to_lowercase());
    let is_list =
        |name: &&String| name.contains(',') && name.split(',').all(|name| is_present(name.trim()));
    if let Some(list) = missing.iter().find(is_list) {
        text += &format!("; `{list}` is a list of columns: name each of them separately");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Header {
        Header::new(names.iter().map(|name| name.as_bytes()), 1, false).unwrap()
    }

    #[test]
    fn columns_are_found_by_their_trimmed_names() {
        let header = header(&[" Song ", "DATE", "Plays"]);
        assert_eq!(header.positions(&["Date"]), Ok(vec![1]));
        assert_eq!(header.positions(&["Plays", "Song"]), Ok(vec![2, 0]));
        assert_eq!(
            (header.column_count(), header.name(0), header.name(3)),
            (3, Some("Song"), None)
        );
    }

    #[test]
    fn missing_columns_are_listed_with_those_that_exist() {
        let text = |names: &[&str], columns: &[&str]| {
            header(names).positions(columns).unwrap_err().to_string()
        };
        assert_eq!(
            text(&["title", "Date"], &["Song", "Date", "Plays"]),
            "the header lacks the columns `Song`, `Plays`; it has `title`, `Date`"
        );
        let error = header(&["Song;Date"]).positions(&["Song"]).unwrap_err();
        assert_eq!(
            error.with_fitting(|| Some(Delimiter::Semicolon)).to_string(),
            "the header lacks the column `Song`; it has `Song;Date`; separated by semicolons it has \
             them: pass delimiter=semicolon"
        );
        assert!(text(&["a"; 23], &["b"]).ends_with("`a` and 3 more"));
        assert!(text(&["City", "Day"], &["City,Day", "x"]).ends_with(
            "it has `City`, `Day`; `City,Day` is a list of columns: name each of them separately"
        ));
    }

    #[test]
    fn errors_name_the_line_and_column() {
        let repeated = header(&["a", "b", "a"]).positions(&["a"]).unwrap_err();
        let (name, line) = ("a".to_owned(), 1);
        assert_eq!(repeated, HeaderError::RepeatedColumn { line, name, first: 1, second: 3 });
        let latin = Header::new([&b"ok"[..], b"caf\xE9"], 4, false).unwrap_err();
        let value = "caf\\xE9".to_owned();
        assert_eq!(latin, HeaderError::NotUtf8 { line: 4, column: 2, value });
        let open = Header::new([&b"a"[..]], 2, true).unwrap_err();
        assert_eq!(open, HeaderError::Unterminated { line: 2 });
    }
}
