//! Text of the input as it may stand in a message: short, and on one line.

use std::fmt::Write;

/// A value, of which the first 60 characters are shown.
const VALUE: usize = 60;
/// A column's name, of which the first 200 characters are shown.
const NAME: usize = 200;

/// A value of the input for a message: shortened, with control characters and bytes that are no
/// text escaped.
pub(crate) fn value(bytes: &[u8]) -> String {
    shown(bytes, VALUE)
}

/// A column's name for a message.
pub(crate) fn name(name: &str) -> String {
    shown(name.as_bytes(), NAME)
}

fn shown(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if length == limit {
                return text + "…";
            }
            length += 1;
            match character {
                // Nothing that a reader could take for something else; the quotes need no escape.
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
    fn text_stays_as_it_is() {
        assert_eq!(value("Größe, \"quoted\" 東京".as_bytes()), "Größe, \"quoted\" 東京");
    }

    #[test]
    fn what_cannot_be_read_is_escaped() {
        assert_eq!(value(b"a\nb\0\x1B[31m\\"), "a\\nb\\0\\u{1b}[31m\\\\");
        assert_eq!(value("\u{202e}x".as_bytes()), "\\u{202e}x");
        assert_eq!(value(b"caf\xE9 au lait"), "caf\\xE9 au lait");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(value(&[b'7'; 60]), "7".repeat(60));
        assert_eq!(value(&[b'7'; 61]), "7".repeat(60) + "…");
        assert_eq!(value(&[0xFF; 1000]).len(), 60 * 4 + "…".len());
        assert_eq!(name(&"ä".repeat(300)).chars().count(), 201);
    }
}
