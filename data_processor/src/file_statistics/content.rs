//! What a file is: its media type, and whether and how it is to be read as text.

use std::str;

use infer::MatcherType;

/// How much of a file is looked at, in bytes: its signature lies there, and a NUL in it means that
/// the file is no text.
const START: usize = 8 << 10;
/// A signature this long may begin a text too, such as `BM` of bitmaps.
const WEAK_SIGNATURE: usize = 3;
/// Text is taken for something else only by a signature that ends within this.
const TEXT_SIGNATURE: usize = 8;

/// How the bytes of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As UTF-8, or what is like it.
    Text,
    /// As UTF-16, the low byte first.
    Utf16Le,
    /// As UTF-16, the high byte first.
    Utf16Be,
    /// Not as text.
    Binary,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) form: Form,
}

impl Content {
    /// By the first bytes, then by the extension of the name, then by whether it is text.
    pub(super) fn recognise(file: &[u8], file_name: &str) -> Self {
        let start = &file[..file.len().min(START)];
        let signature = signature(start);
        let by_name = mime_guess::from_path(file_name).first_raw();
        if let Some(found) = signature.filter(|found| found.matcher_type() != MatcherType::Text) {
            return Self { media_type: found.mime_type(), form: Form::Binary };
        }
        let form = match start {
            [0xFF, 0xFE, 0, 0, ..] => Form::Binary,
            [0xFF, 0xFE, ..] => Form::Utf16Le,
            [0xFE, 0xFF, ..] => Form::Utf16Be,
            _ if start.contains(&0) => Form::Binary,
            _ => Form::Text,
        };
        let media_type = match form {
            Form::Binary => {
                by_name.filter(|name| !is_of(name, &["text"])).unwrap_or("application/octet-stream")
            }
            _ => by_name
                .filter(|name| may_be_text(name))
                .or(signature.map(|found| found.mime_type()))
                .unwrap_or("text/plain"),
        };
        Self { media_type, form }
    }
}

/// What the first bytes are the signature of.
fn signature(start: &[u8]) -> Option<infer::Type> {
    let found = infer::get(start)?;
    let is_in = |length: usize| {
        let part = &start[..start.len().min(length)];
        infer::get(part).is_some_and(|part| part.mime_type() == found.mime_type())
    };
    let is_doubtful = found.matcher_type() != MatcherType::Text && is_plain_text(start);
    (!is_doubtful || is_in(TEXT_SIGNATURE) && !is_in(WEAK_SIGNATURE)).then_some(found)
}

/// Whether it is UTF-8 without other control characters than text has: from the bell to the
/// carriage return, and escape.
fn is_plain_text(start: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(start) {
        Ok(_) => true,
        // A character that the end cuts.
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && start.iter().all(|byte| matches!(byte, 0x07..=0x0D | 0x1B | 0x20..))
}

/// Whether the media type is one that text may have: pictures, sound and fonts are none, but for
/// pictures in XML.
fn may_be_text(media_type: &str) -> bool {
    media_type.ends_with("+xml") || !is_of(media_type, &["audio", "font", "image", "video"])
}

fn is_of(media_type: &str, families: &[&str]) -> bool {
    media_type.split_once('/').is_some_and(|(family, _)| families.contains(&family))
}
