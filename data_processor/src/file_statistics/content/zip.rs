//! ZIP archives: Office documents since 2007, OpenDocument files, e-books, programs.
//!
//! An archive is identified by the names of its entries. They are read from the headers in the
//! first block, and from the directory at the end, as far as it is in the last [`TAIL`] bytes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::memmem;

use super::container::{u16_at, u32_at};

/// The number of bytes at the end of a file that are kept.
const TAIL: usize = 64 << 10;
/// The maximum length of a media type that an archive declares, in bytes.
const LONGEST_TYPE: usize = 127;

/// The signature of a local file header.
const ENTRY: &[u8] = b"PK\x03\x04";
/// The signature of a header in the central directory.
const LISTED: &[u8] = b"PK\x01\x02";
/// The signature of the end of the central directory.
const END: &[u8] = b"PK\x05\x06";

/// An entry of every Office document since 2007.
const CONTENT_TYPES: &str = "[Content_Types].xml";

struct Format {
    /// The entries that must all exist; a name that ends with `/` is a folder.
    entries: &'static [&'static str],
    media_type: &'static str,
    /// Prefixes of more specific types of this format, which the file name may choose.
    special: &'static [&'static str],
}

/// The first matching format applies.
const FORMATS: [Format; 12] = [
    Format {
        entries: &[CONTENT_TYPES, "word/"],
        media_type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        special: &[
            "application/vnd.openxmlformats-officedocument.wordprocessingml.",
            "application/vnd.ms-word.",
        ],
    },
    Format {
        entries: &[CONTENT_TYPES, "xl/"],
        media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        special: &[
            "application/vnd.openxmlformats-officedocument.spreadsheetml.",
            "application/vnd.ms-excel.",
        ],
    },
    Format {
        entries: &[CONTENT_TYPES, "ppt/"],
        media_type: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        special: &[
            "application/vnd.openxmlformats-officedocument.presentationml.",
            "application/vnd.ms-powerpoint.",
        ],
    },
    Format {
        entries: &[CONTENT_TYPES, "visio/"],
        media_type: "application/vnd.ms-visio.drawing",
        special: &["application/vnd.ms-visio."],
    },
    Format { entries: &[CONTENT_TYPES, "3D/3dmodel.model"], media_type: "model/3mf", special: &[] },
    Format {
        entries: &[CONTENT_TYPES, "FixedDocSeq.fdseq"],
        media_type: "application/vnd.ms-xpsdocument",
        special: &["application/oxps"],
    },
    Format {
        entries: &[CONTENT_TYPES, "FixedDocumentSequence.fdseq"],
        media_type: "application/vnd.ms-xpsdocument",
        special: &["application/oxps"],
    },
    // Android libraries have no type of their own.
    Format {
        entries: &["AndroidManifest.xml", "classes.jar"],
        media_type: "application/zip",
        special: &[],
    },
    Format {
        entries: &["AndroidManifest.xml"],
        media_type: "application/vnd.android.package-archive",
        special: &[],
    },
    Format {
        entries: &["META-INF/container.xml"],
        media_type: "application/epub+zip",
        special: &[],
    },
    Format {
        entries: &["META-INF/MANIFEST.MF"],
        media_type: "application/java-archive",
        special: &["application/x-xpinstall"],
    },
    Format { entries: &["doc.kml"], media_type: "application/vnd.google-earth.kmz", special: &[] },
];

/// Types, or prefixes of types, of formats that are archives. The file name may choose one of them
/// if the entries do not identify a format.
const BY_NAME: [&str; 15] = [
    "application/epub+zip",
    "application/java-archive",
    "application/oxps",
    "application/vnd.android.package-archive",
    "application/vnd.google-earth.kmz",
    "application/vnd.ms-excel.",
    "application/vnd.ms-powerpoint.",
    "application/vnd.ms-word.",
    "application/vnd.ms-xpsdocument",
    "application/vnd.oasis.opendocument.",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.sun.xml.",
    "application/x-cbr",
    "application/x-itunes-ipa",
    "application/x-xpinstall",
];

/// An archive, as far as it was read.
#[derive(Debug)]
pub(super) struct Archive {
    /// The media type that its first entry declares.
    named: Option<String>,
    found: BTreeSet<&'static str>,
    /// The last bytes read.
    tail: Vec<u8>,
}

impl Archive {
    pub(super) fn recognise(block: &[u8]) -> Option<Self> {
        // `PK00` precedes an archive that was meant to be split but was not.
        let entries = block.strip_prefix(b"PK00").unwrap_or(block);
        let is_archive = [ENTRY, END, b"PK\x07\x08"].iter().any(|start| entries.starts_with(start));
        is_archive.then(|| {
            let mut archive =
                Self { named: named_type(entries), found: BTreeSet::new(), tail: Vec::new() };
            archive.note_entries(block);
            archive
        })
    }

    pub(super) fn add(&mut self, block: &[u8]) {
        let kept = TAIL.saturating_sub(block.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(&block[block.len().saturating_sub(TAIL)..]);
    }

    pub(super) fn media_type(mut self, by_name: Option<&'static str>) -> Cow<'static, str> {
        let tail = std::mem::take(&mut self.tail);
        self.note_listed(&tail);
        if let Some(named) = self.named {
            return named.into();
        }
        let has = |entries: &[&str]| entries.iter().all(|entry| self.found.contains(entry));
        let begins = |starts: &[&str], name: &str| starts.iter().any(|it| name.starts_with(it));
        let media_type = match FORMATS.iter().find(|format| has(format.entries)) {
            Some(Format { media_type, special, .. }) => {
                by_name.filter(|name| begins(special, name)).unwrap_or(media_type)
            }
            None => by_name.filter(|name| begins(&BY_NAME, name)).unwrap_or("application/zip"),
        };
        media_type.into()
    }

    /// Notes the entries whose headers are in the first block.
    fn note_entries(&mut self, block: &[u8]) {
        let mut from = 0;
        while let Some(at) = block.get(from..).and_then(|rest| memmem::find(rest, ENTRY)) {
            let Some(entry) = Entry::read(&block[from + at..]) else { return };
            self.note(entry.name);
            // If the size is unknown, because it follows the data, the next header is searched for.
            from = (from + at).saturating_add(entry.data_at).saturating_add(entry.size);
        }
    }

    /// Notes the entries of the central directory.
    fn note_listed(&mut self, tail: &[u8]) {
        let Some(end) = memmem::rfind(tail, END) else { return };
        let size = u32_at(tail, end + 12).and_then(|size| usize::try_from(size).ok());
        let begin = size.and_then(|size| end.checked_sub(size));
        let is_listed = |at: &usize| tail[*at..].starts_with(LISTED);
        let begin = begin.filter(is_listed).or_else(|| memmem::find(&tail[..end], LISTED));
        let mut rest = begin.map(|begin| &tail[begin..end]);
        while let Some(listed) = rest.filter(|rest| rest.starts_with(LISTED)) {
            let length = |at| u16_at(listed, at).map_or(0, usize::from);
            let (name, extra, comment) = (length(28), length(30), length(32));
            self.note(listed.get(46..46 + name).unwrap_or_default());
            rest = listed.get(46 + name + extra + comment..);
        }
    }

    fn note(&mut self, name: &[u8]) {
        let is_known = |known: &&&str| match known.ends_with('/') {
            true => name.starts_with(known.as_bytes()),
            false => name == known.as_bytes(),
        };
        let known = FORMATS.iter().flat_map(|format| format.entries);
        self.found.extend(known.filter(is_known));
    }
}

/// An entry, read from its local file header.
struct Entry<'a> {
    name: &'a [u8],
    is_compressed: bool,
    /// The offset of the data from the start of the header.
    data_at: usize,
    /// The size of the data; also 0 if the header does not contain it.
    size: usize,
}

impl<'a> Entry<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        let length = |at| u16_at(header, at).map(usize::from);
        let (name, extra) = (length(26)?, length(28)?);
        // The maximum value means that the size is stored elsewhere (ZIP64).
        let size = u32_at(header, 18).filter(|size| *size != u32::MAX).unwrap_or(0);
        Some(Self {
            name: header.get(30..30 + name)?,
            is_compressed: u16_at(header, 8)? != 0,
            data_at: 30 + name + extra,
            size: usize::try_from(size).ok()?,
        })
    }
}

/// The media type that OpenDocument files, EPUB and others declare in a first entry `mimetype`.
fn named_type(archive: &[u8]) -> Option<String> {
    let entry = archive.starts_with(ENTRY).then(|| Entry::read(archive)).flatten()?;
    if entry.name != b"mimetype" || entry.is_compressed {
        return None;
    }
    let data = archive.get(entry.data_at..)?;
    let end = if entry.size > 0 { entry.size } else { memmem::find(data, b"PK")? };
    let named = std::str::from_utf8(data.get(..end)?).ok()?.trim();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-./".contains(c);
    let (family, kind) = named.split_once('/')?;
    let is_type = matches!(family, "application" | "image") && !kind.is_empty();
    let is_valid = is_type && !kind.contains('/') && named.chars().all(is_plain);
    (is_valid && named.len() <= LONGEST_TYPE).then(|| named.to_owned())
}
