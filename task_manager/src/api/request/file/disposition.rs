//! The header `Content-Disposition` of a form field: the field's name and the name of its file.
//!
//! Clients encode file names in many ways, and all of these are accepted: `filename*` (RFC 8187),
//! which takes precedence; plain UTF-8 (browsers, with `%22` for a quotation mark); encoded words
//! (.NET, RFC 2047); and ISO-8859-1.
//!
//! By hand: `multer` reads `filename` in UTF-8 only, and `ContentDisposition` of the crate
//! `headers` reads no parameters at all.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, WINDOWS_1252};
use percent_encoding::percent_decode;

/// Accepts input with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parsed header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    /// The field's name; empty if it has none.
    pub name: String,
    pub file_name: Option<String>,
}

impl Disposition {
    pub fn parse(header: &[u8]) -> Self {
        let (mut name, mut plain, mut extended) = (None, None, None);
        for (parameter, value) in Parameters::of(header) {
            match parameter.as_slice() {
                b"name" => name = name.or(Some(value)),
                b"filename" => plain = plain.or(Some(value)),
                b"filename*" => extended = extended.or(Some(value)),
                _ => {}
            }
        }
        let extended = extended.and_then(|value| decode_extended(&value));
        Self {
            name: name.map(|value| text(&value).into_owned()).unwrap_or_default(),
            file_name: extended.or_else(|| plain.map(|value| decode_plain(&value))),
        }
    }
}

/// The parameters after the first semicolon: names in lower case, and values.
struct Parameters<'a> {
    left: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn of(header: &'a [u8]) -> Self {
        let start = header.iter().position(|byte| *byte == b';').unwrap_or(header.len());
        Self { left: &header[start..] }
    }

    /// Takes the value at the start of the remaining bytes.
    fn value(&mut self) -> Vec<u8> {
        self.left = self.left.trim_ascii_start();
        let Some(quoted) = self.left.strip_prefix(b"\"") else {
            let end = self.left.iter().position(|byte| *byte == b';').unwrap_or(self.left.len());
            let (value, left) = self.left.split_at(end);
            self.left = left;
            return value.trim_ascii_end().to_owned();
        };
        let mut value = Vec::new();
        let mut bytes = quoted;
        loop {
            bytes = match bytes {
                [] => break,
                [b'"', left @ ..] => {
                    bytes = left;
                    break;
                }
                // Other backslashes are part of the value: some clients send whole paths.
                [b'\\', escaped @ (b'"' | b'\\'), left @ ..] | [escaped, left @ ..] => {
                    value.push(*escaped);
                    left
                }
            };
        }
        self.left = bytes;
        value
    }
}

impl Iterator for Parameters<'_> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.left.iter().position(|byte| *byte == b';')? + 1;
        self.left = &self.left[start..];
        let end = self.left.iter().position(|byte| matches!(byte, b'=' | b';'));
        let (name, left) = self.left.split_at(end.unwrap_or(self.left.len()));
        self.left = left;
        let value = match left.strip_prefix(b"=") {
            Some(left) => {
                self.left = left;
                self.value()
            }
            None => Vec::new(),
        };
        Some((name.trim_ascii().to_ascii_lowercase(), value))
    }
}

/// Decodes `UTF-8'language'name` with percent-encoding; `None` for anything else.
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Cow<'_, [u8]> = percent_decode(encoded).into();
    decode(charset, &bytes).filter(|name| !name.is_empty())
}

fn decode_plain(value: &[u8]) -> String {
    let text = text(value);
    // Browsers escape these three characters and no others, not even the percent sign.
    decode_words(&text)
        .unwrap_or_else(|| text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

/// Decodes UTF-8, or otherwise Windows-1252, the most likely encoding.
fn text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(value).0,
    }
}

fn decode(charset: &[u8], bytes: &[u8]) -> Option<String> {
    let encoding = Encoding::for_label(charset)?;
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(text.into_owned())
}

/// The text with its encoded words decoded; `None` if it has none. White space between two encoded
/// words is not part of the text.
fn decode_words(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let (mut has_words, mut is_behind_word) = (false, false);
    for part in text.split_ascii_whitespace() {
        let word = decode_word(part);
        let is_between_words = is_behind_word && word.is_some();
        if !decoded.is_empty() && !is_between_words {
            decoded.push(' ');
        }
        decoded.push_str(word.as_deref().unwrap_or(part));
        is_behind_word = word.is_some();
        has_words |= is_behind_word;
    }
    has_words.then_some(decoded)
}

/// `=?charset?B?base64?=` or `=?charset?Q?quoted-printable?=`.
fn decode_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, encoded) = inner.split_once('?')?;
    let (encoding, encoded) = encoded.split_once('?')?;
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(encoded).ok()?,
        "Q" | "q" => decode_q(encoded),
        _ => return None,
    };
    // A language may follow the charset.
    let charset = charset.split('*').next().unwrap_or_default();
    decode(charset.as_bytes(), &bytes)
}

/// Decodes quoted-printable, with `_` for a space.
fn decode_q(encoded: &str) -> Vec<u8> {
    let escaped = encoded.replace('%', "%25").replace('_', " ").replace('=', "%");
    percent_decode(escaped.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(parameters: &str) -> Option<String> {
        let found = Disposition::parse(format!("form-data; name=file; {parameters}").as_bytes());
        assert_eq!(found.name, "file", "{parameters}");
        found.file_name
    }

    #[test]
    fn file_names_are_read_as_clients_write_them() {
        for (parameters, expected) in [
            ("filename=\"songs.csv\"", "songs.csv"),
            ("filename=songs.csv", "songs.csv"),
            ("FileName = songs.csv ; x=y", "songs.csv"),
            ("filename=\"größe 1; a.csv\"", "größe 1; a.csv"),
            (r#"filename="a \"b\" c.csv""#, r#"a "b" c.csv"#),
            (r#"filename="C:\data\x.csv""#, r"C:\data\x.csv"),
            (r#"filename="a\\"; x="b.csv""#, r"a\"),
            ("filename=\"a %22b%22 100%25.csv\"", "a \"b\" 100%25.csv"),
            ("filename*=utf-8''M%C3%A4rz.md", "März.md"),
            ("filename*=UTF-8'de'%e2%82%ac%20rates.csv", "€ rates.csv"),
            ("filename*=\"utf-8''M%C3%A4rz.md\"", "März.md"),
            ("filename*=iso-8859-1'en'%A3%20rates.csv", "£ rates.csv"),
            ("filename=\"Maerz.md\"; filename*=utf-8''M%C3%A4rz.md", "März.md"),
            ("filename*=utf-8''M%C3%A4rz.md; filename=\"Maerz.md\"", "März.md"),
            ("filename=\"=?utf-8?B?TcOkcnoubWQ=?=\"", "März.md"),
            ("filename==?utf-8?B?TcOkcnoubWQ=?=", "März.md"),
            ("filename=\"=?UTF-8?b?TcOkcnoubWQ?=\"", "März.md"),
            ("filename=\"=?utf-8?Q?M=C3=A4rz_100%.md?=\"", "März 100%.md"),
            ("filename=\"=?iso-8859-1?q?M=E4rz.md?=\"", "März.md"),
            ("filename=\"=?utf-8*de?Q?M=C3=A4?= =?utf-8?Q?rz.md?= x\"", "März.md x"),
            ("filename=\"=?utf-8?B?TcOkcnoubWQ=?=\"; filename*=utf-8''M%C3%A4rz.md", "März.md"),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(expected), "{parameters}");
        }
    }

    #[test]
    fn names_that_cannot_be_decoded_are_left_unchanged() {
        for (parameters, expected) in [
            ("filename*=utf-8''%FF; filename=\"plain.csv\"", "plain.csv"),
            ("filename*=martian''x.csv; filename=\"plain.csv\"", "plain.csv"),
            ("filename*=x.csv; filename=\"plain.csv\"", "plain.csv"),
            ("filename*=utf-8''; filename=\"plain.csv\"", "plain.csv"),
            ("filename=\"=?utf-8?B?!!?=\"", "=?utf-8?B?!!?="),
            ("filename=\"=?utf-8?X?abc?=\"", "=?utf-8?X?abc?="),
            ("filename=\"=?utf-8?B?/w==?=\"", "=?utf-8?B?/w==?="),
            ("filename=\"no end", "no end"),
            ("filename=\"ends with \\", "ends with \\"),
            ("filename", ""),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(expected), "{parameters}");
        }
        assert_eq!(file_name("x=y"), None);
        let latin = Disposition::parse(b"form-data; name=\"file\"; filename=\"M\xE4rz.md\"");
        assert_eq!(latin.file_name.as_deref(), Some("März.md"));
    }

    #[test]
    fn a_name_inside_another_value_is_ignored() {
        let found = Disposition::parse(b"form-data; filename=\"a; name=evil; b\"; name=\"file\"");
        assert_eq!(found.name, "file");
        assert_eq!(found.file_name.as_deref(), Some("a; name=evil; b"));
        assert_eq!(Disposition::parse(b"form-data"), Disposition::default());
        assert_eq!(Disposition::parse(b""), Disposition::default());
        assert_eq!(Disposition::parse(b";;=;\"=\";").name, "");
    }
}
