//! Converts the dialects of tasks to those of the engines, and back.

use common::task::spec::{CsvDialect, Delimiter};
use csv_input::{Dialect, DialectOptions};

/// What an engine must know of a file.
#[must_use]
pub fn options(given: &CsvDialect) -> DialectOptions {
    let delimiter = given.delimiter.map(|delimiter| match delimiter {
        Delimiter::Comma => csv_input::Delimiter::Comma,
        Delimiter::Semicolon => csv_input::Delimiter::Semicolon,
        Delimiter::Tab => csv_input::Delimiter::Tab,
        Delimiter::Pipe => csv_input::Delimiter::Pipe,
    });
    DialectOptions { delimiter }
}

/// How an engine has read a file, as part of a result.
#[must_use]
pub fn found(dialect: Dialect) -> CsvDialect {
    let delimiter = match dialect.delimiter {
        csv_input::Delimiter::Comma => Delimiter::Comma,
        csv_input::Delimiter::Semicolon => Delimiter::Semicolon,
        csv_input::Delimiter::Tab => Delimiter::Tab,
        csv_input::Delimiter::Pipe => Delimiter::Pipe,
    };
    CsvDialect { delimiter: Some(delimiter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_reads_the_file_again() {
        for delimiter in csv_input::Delimiter::ALL {
            let dialect = DialectOptions::default().with(delimiter);
            assert_eq!(options(&found(dialect)).delimiter, Some(delimiter));
        }
    }
}
