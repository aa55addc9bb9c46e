//! Converts the dialects of tasks to those of the engines, and back.

use common::task::spec::{CsvDialect, Delimiter, Encoding, Mark};
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
    let encoding = given.encoding.map(|encoding| match encoding {
        Encoding::Utf8 => csv_input::Encoding::Utf8,
        Encoding::Windows1252 => csv_input::Encoding::Windows1252,
        Encoding::Utf16 => csv_input::Encoding::Utf16,
    });
    // Marks are ASCII.
    let byte = |mark: Option<Mark>| mark.map(|mark| mark.character() as u8);
    DialectOptions {
        delimiter,
        encoding,
        quote: byte(given.quote),
        escape: byte(given.escape),
        comment: byte(given.comment),
    }
}

/// How an engine has read a file, as part of a result: what may have been detected.
#[must_use]
pub fn found(dialect: Dialect) -> CsvDialect {
    let delimiter = match dialect.delimiter {
        csv_input::Delimiter::Comma => Delimiter::Comma,
        csv_input::Delimiter::Semicolon => Delimiter::Semicolon,
        csv_input::Delimiter::Tab => Delimiter::Tab,
        csv_input::Delimiter::Pipe => Delimiter::Pipe,
    };
    let encoding = match dialect.encoding {
        csv_input::Encoding::Utf8 => Encoding::Utf8,
        csv_input::Encoding::Windows1252 => Encoding::Windows1252,
        csv_input::Encoding::Utf16 => Encoding::Utf16,
    };
    CsvDialect { delimiter: Some(delimiter), encoding: Some(encoding), ..CsvDialect::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_bytes() {
        let mark = |text: &str| Some(text.parse().unwrap());
        let given = CsvDialect {
            quote: mark("'"),
            escape: mark("\\"),
            comment: mark("#"),
            ..CsvDialect::default()
        };
        let options = options(&given);
        let bytes = (options.quote, options.escape, options.comment);
        assert_eq!(bytes, (Some(b'\''), Some(b'\\'), Some(b'#')));
    }

    #[test]
    fn what_was_found_reads_the_file_again() {
        use csv_input::Encoding::{Utf8, Utf16, Windows1252};
        for delimiter in csv_input::Delimiter::ALL {
            for encoding in [Utf8, Windows1252, Utf16] {
                let given = DialectOptions {
                    delimiter: Some(delimiter),
                    encoding: Some(encoding),
                    ..DialectOptions::default()
                };
                assert_eq!(options(&found(given.with(delimiter))), given);
            }
        }
    }
}
