//! Excerpts of the input: for messages short, on one line, and printable; for tables short.

use std::fmt::Write;

/// How the reasons of rows whose text is not UTF-8 end.
pub const NOT_UTF8: &str = "is not UTF-8 text";

/// The length of an excerpt of a value, in characters.
const VALUE_CHARS: usize = 60;
/// The length of an excerpt of a column's name, in characters.
const NAME_CHARS: usize = 200;

/// The first 60 characters of a value, with control characters and bytes that are not UTF-8
/// escaped.
#[must_use]
pub fn value_excerpt(value: &[u8]) -> String {
    excerpt(value, VALUE_CHARS)
}

/// The first 200 characters of a column's name, escaped like a value.
#[must_use]
pub fn name_excerpt(name: &str) -> String {
    excerpt(name.as_bytes(), NAME_CHARS)
}

/// A value as text: its first `limit` characters, as they are. For tables, where nothing needs an
/// escape.
#[must_use]
pub fn shortened(value: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(value);
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

fn excerpt(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if length == limit {
                return text + "…";
            }
            length += 1;
            match character {
                // Quotes need no escape: messages put values between backticks.
                '"' | '\'' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            if length == limit {
                return text + "…";
            }
            length += 1;
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_unchanged() {
        assert_eq!(value_excerpt("Größe, \"quoted\" 東京".as_bytes()), "Größe, \"quoted\" 東京");
    }

    #[test]
    fn unprintable_characters_are_escaped() {
        assert_eq!(value_excerpt(b"a\nb\0\x1B[31m\\"), "a\\nb\\0\\u{1b}[31m\\\\");
        assert_eq!(value_excerpt("\u{202e}x".as_bytes()), "\\u{202e}x");
        assert_eq!(value_excerpt(b"caf\xE9 au lait"), "caf\\xE9 au lait");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(value_excerpt(&[b'7'; 60]), "7".repeat(60));
        assert_eq!(value_excerpt(&[b'7'; 61]), "7".repeat(60) + "…");
        assert_eq!(value_excerpt(&[0xFF; 1000]).len(), 60 * 4 + "…".len());
        assert_eq!(name_excerpt(&"ä".repeat(300)).chars().count(), 201);
        assert_eq!(shortened("äöü".as_bytes(), 2), "äö…");
        assert_eq!(shortened(b"a\nb\xE9", 4), "a\nb\u{FFFD}");
    }
}
