//! What a file is: its media type, and whether and how it is read as text.
//!
//! # Invariants
//! - Valid text outweighs a signature: a file is only taken for another format than text where a
//!   byte of it says so, or where the format is written as text itself (`documents`).
//! - A container is told by what is in it; its name only chooses among formats that fit.
//!
//! # Not here
//! Counting (`counter`).

mod container;
mod documents;
mod ole;
mod zip;

use std::borrow::Cow;
use std::str;

use infer::MatcherType;

use self::container::Container;
use self::documents::document;

/// How much of a file is searched for signatures, in bytes; a NUL in it means that the file is not
/// text.
const START: usize = 8 << 10;
/// Text of an unknown 8-bit encoding outweighs a signature only where it begins with so many ASCII
/// bytes: the few bytes of a tiny compressed file may look like such text.
const ASCII_START: usize = 16;
/// The type of bytes of which nothing is known.
const UNKNOWN: &str = "application/octet-stream";

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

/// What a file is, as far as it was read.
#[derive(Debug)]
pub(super) struct Content(Kind);

#[derive(Debug)]
enum Kind {
    /// The first bytes were enough.
    Known { media_type: &'static str, form: Form },
    /// Text so far, that begins with the signature of another format.
    Doubtful(Doubtful),
    /// A file of files.
    Container { container: Container, by_name: Option<&'static str> },
}

/// A file that begins with a signature and is text so far.
#[derive(Debug)]
struct Doubtful {
    signature: &'static str,
    text: &'static str,
    has_ascii_start: bool,
    is_plain: bool,
}

impl Content {
    /// What is known by the first block of a file and by its name. [`Self::add`] takes the blocks,
    /// the first one too.
    pub(super) fn recognise(block: &[u8], file_name: &str) -> Self {
        let by_name = mime_guess::from_path(file_name).first_raw();
        Self(Kind::recognise(block, by_name))
    }

    /// How the file is to be read.
    pub(super) fn form(&self) -> Form {
        match &self.0 {
            Kind::Known { form, .. } => *form,
            Kind::Doubtful(_) => Form::Text,
            Kind::Container { .. } => Form::Binary,
        }
    }

    /// Looks at the next block of the file.
    pub(super) fn add(&mut self, block: &[u8]) {
        match &mut self.0 {
            Kind::Known { .. } => {}
            Kind::Doubtful(doubtful) => doubtful.is_plain = doubtful.is_plain && is_plain(block),
            Kind::Container { container, .. } => container.add(block),
        }
    }

    /// The media type, and whether the file is text, now that all of it was read; `is_utf8` says
    /// whether all of it is UTF-8.
    pub(super) fn finish(self, is_utf8: bool) -> (Cow<'static, str>, bool) {
        match self.0 {
            Kind::Known { media_type, form } => (media_type.into(), form != Form::Binary),
            Kind::Doubtful(Doubtful { signature, text, has_ascii_start, is_plain }) => {
                match is_plain && (is_utf8 || has_ascii_start) {
                    true => (text.into(), true),
                    false => (signature.into(), false),
                }
            }
            Kind::Container { container, by_name } => (container.media_type(by_name), false),
        }
    }
}

impl Kind {
    fn recognise(block: &[u8], by_name: Option<&'static str>) -> Self {
        let start = &block[..block.len().min(START)];
        if let Some(container) = Container::recognise(block) {
            return Self::Container { container, by_name };
        }
        if let Some((media_type, form)) = document(start) {
            return Self::Known { media_type, form };
        }
        let signature = infer::get(start).filter(|found| found.matcher_type() != MatcherType::Text);
        match signature.map(|found| found.mime_type()) {
            Some(signature) if is_plain(start) => Self::Doubtful(Doubtful {
                signature,
                text: text_type(start, by_name),
                has_ascii_start: start[..start.len().min(ASCII_START)].is_ascii(),
                is_plain: true,
            }),
            Some(signature) => Self::Known { media_type: signature, form: Form::Binary },
            None => {
                let form = form(start);
                let media_type = match form {
                    Form::Binary => by_name.filter(|name| !is_text(name)).unwrap_or(UNKNOWN),
                    _ => text_type(start, by_name),
                };
                Self::Known { media_type, form }
            }
        }
    }
}

fn form(start: &[u8]) -> Form {
    match start {
        [0xFF, 0xFE, 0, 0, ..] => Form::Binary,
        [0xFF, 0xFE, ..] => Form::Utf16Le,
        [0xFE, 0xFF, ..] => Form::Utf16Be,
        _ if start.contains(&0) => Form::Binary,
        _ => Form::Text,
    }
}

/// The media type of a text: by the name, then by the first bytes.
fn text_type(start: &[u8], by_name: Option<&'static str>) -> &'static str {
    let found = [("html", "text/html"), ("xml", "text/xml"), ("sh", "text/x-shellscript")]
        .into_iter()
        .find_map(|(extension, media_type)| infer::is(start, extension).then_some(media_type));
    let is_certificate = start.starts_with(b"-----BEGIN CERTIFICATE-----");
    by_name
        .filter(|name| may_be_text(name))
        .or(found)
        .or(is_certificate.then_some("application/x-x509-ca-cert"))
        .unwrap_or("text/plain")
}

/// Whether there are no other control characters than text has: from the bell to the carriage
/// return, and escape.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x07..=0x0D | 0x1B | 0x20..=0x7E | 0x80..))
}

/// Whether the media type is one that text may have: pictures, sound and fonts are not, except for
/// pictures in XML.
fn may_be_text(media_type: &str) -> bool {
    let family = media_type.split_once('/').map(|(family, _)| family);
    media_type.ends_with("+xml") || !matches!(family, Some("audio" | "font" | "image" | "video"))
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}
