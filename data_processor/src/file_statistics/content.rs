//! Recognises the content of a file: its media type, and whether and how it is read as text.
//!
//! # Invariants
//! - Valid text takes precedence over a signature: a file is classified as another format only if a
//!   byte of it is not valid in text, or if the format itself is written as text (`documents`).
//! - A container is identified by its entries. Its file name only chooses among matching formats.
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

/// The number of bytes that are searched for signatures. A NUL among them means that the file is
/// not text.
const START: usize = 8 << 10;
/// Text of an unknown 8-bit encoding takes precedence over a signature only if it starts with this
/// many ASCII bytes, because the few bytes of a tiny compressed file may look like such text.
const ASCII_START: usize = 16;
/// The media type of unrecognised bytes.
const UNKNOWN: &str = "application/octet-stream";

/// How the bytes of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As UTF-8 or an 8-bit encoding.
    Text,
    /// As UTF-16, little-endian.
    Utf16Le,
    /// As UTF-16, big-endian.
    Utf16Be,
    /// Not as text.
    Binary,
}

/// The content of a file, as far as it was read.
#[derive(Debug)]
pub(super) struct Content(Kind);

#[derive(Debug)]
enum Kind {
    /// Recognised by the first block.
    Known { media_type: &'static str, form: Form },
    /// Text so far, but with the signature of another format.
    Ambiguous(Ambiguous),
    /// An archive, or a document in the format of one.
    Container { container: Container, by_name: Option<&'static str> },
}

/// A file that starts with a signature and is text so far.
#[derive(Debug)]
struct Ambiguous {
    signature: &'static str,
    text: &'static str,
    has_ascii_start: bool,
    is_plain: bool,
}

impl Content {
    /// Recognises a file by its first block and its name. [`Self::add`] must be called for all
    /// blocks, including the first one.
    pub(super) fn recognise(block: &[u8], file_name: &str) -> Self {
        let by_name = mime_guess::from_path(file_name).first_raw();
        Self(Kind::recognise(block, by_name))
    }

    /// How the file is read.
    pub(super) fn form(&self) -> Form {
        match &self.0 {
            Kind::Known { form, .. } => *form,
            Kind::Ambiguous(_) => Form::Text,
            Kind::Container { .. } => Form::Binary,
        }
    }

    /// Examines the next block of the file.
    pub(super) fn add(&mut self, block: &[u8]) {
        match &mut self.0 {
            Kind::Known { .. } => {}
            Kind::Ambiguous(ambiguous) => {
                ambiguous.is_plain = ambiguous.is_plain && is_plain(block)
            }
            Kind::Container { container, .. } => container.add(block),
        }
    }

    /// The media type, and whether the file is text, after all blocks. `is_utf8` says whether the
    /// whole file is UTF-8.
    pub(super) fn finish(self, is_utf8: bool) -> (Cow<'static, str>, bool) {
        match self.0 {
            Kind::Known { media_type, form } => (media_type.into(), form != Form::Binary),
            Kind::Ambiguous(Ambiguous { signature, text, has_ascii_start, is_plain }) => {
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
            Some(signature) if is_plain(start) => Self::Ambiguous(Ambiguous {
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

/// The media type of text: by its file name, then by its first bytes.
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

/// Whether the bytes contain only control characters that occur in text: BEL to CR, and ESC.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x07..=0x0D | 0x1B | 0x20..=0x7E | 0x80..))
}

/// Whether text may have this media type. Images, audio, video and fonts are not text, except for
/// images in XML.
fn may_be_text(media_type: &str) -> bool {
    let family = media_type.split_once('/').map(|(family, _)| family);
    media_type.ends_with("+xml") || !matches!(family, Some("audio" | "font" | "image" | "video"))
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}
