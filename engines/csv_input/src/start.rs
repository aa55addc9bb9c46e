//! Recognises files that are not CSV by their first bytes.
//!
//! Uploads and engines check these, so that a workbook or an archive is refused as such and not
//! because of invalid rows.
//!
//! # Not here
//! Reading rows; decompression; the encoding of the text after the first bytes.

use std::fmt;

/// The number of bytes at the start of a file that are examined.
pub const START_BYTES: usize = 512;

/// The byte order mark that may precede UTF-8 text.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

/// File formats that are uploaded as CSV by mistake, by their signatures.
const FORMATS: [(&[u8], &str); 16] = [
    // Before UTF-16, whose byte order mark is a prefix of this one.
    (b"\xFF\xFE\0\0", UTF_32),
    (b"\0\0\xFE\xFF", UTF_32),
    (b"\xFF\xFE", UTF_16),
    (b"\xFE\xFF", UTF_16),
    (b"PK\x03\x04", "a ZIP archive; unpack it and send the CSV file inside"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"PK\x07\x08", "a ZIP archive; unpack it and send the CSV file inside"),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", EXCEL),
    (b"\x1F\x8B\x08", "a file compressed by gzip; unpack it first (`gunzip`)"),
    (b"\x28\xB5\x2F\xFD", "a file compressed by zstd; unpack it first (`unzstd`)"),
    (b"\xFD7zXZ\0", "a file compressed by xz; unpack it first (`unxz`)"),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive; unpack it and send the CSV file inside"),
    (b"%PDF-1.", "a PDF document"),
    (b"%PDF-2.", "a PDF document"),
    (b"\x89PNG\r\n\x1A\n", "a PNG image"),
    (b"\xFF\xD8\xFF", "a JPEG image"),
];

const UTF_16: &str = "text in UTF-16; pass encoding=utf-16, or save it as UTF-8";
const UTF_32: &str = "text in UTF-32; save it as UTF-8";
const EXCEL: &str = "an Excel workbook; save its sheet as CSV";

/// How the name of the first entry of an Office document starts.
const OFFICE_ENTRIES: [&[u8]; 4] = [b"[Content_Types].xml", b"_rels/", b"xl/", b"docProps/"];
/// Where the name of a ZIP archive's first entry starts.
const ZIP_NAME_AT: usize = 30;

/// A compression format that some kinds of task decompress while they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, `.gz`.
    Gzip,
    /// RFC 8878, `.zst`.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The compression of a file that starts with `start`; `None` if it is not compressed by a
/// supported format.
#[must_use]
pub fn compression(start: &[u8]) -> Option<Compression> {
    if start.starts_with(b"\x1F\x8B\x08") {
        return Some(Compression::Gzip);
    }
    start.starts_with(b"\x28\xB5\x2F\xFD").then_some(Compression::Zstd)
}

/// Checks that a file that starts with `start` may be CSV: UTF-8 text, with or without a byte
/// order mark. `start` is the first [`START_BYTES`] of the file, or all of a shorter one; further
/// bytes are ignored. An empty file passes.
///
/// # Errors
/// A message for users: what the file looks like instead, and what to do about it.
pub fn check_start(start: &[u8]) -> Result<(), String> {
    let start = start.get(..START_BYTES).unwrap_or(start);
    match looks_like(start) {
        Some(format) => Err(format!("the file looks like {format}")),
        None => Ok(()),
    }
}

/// Like [`check_start`], but before the encoding of the file is known: text in UTF-16 passes too.
///
/// # Errors
/// A message for users: what the file looks like instead, and what to do about it.
pub fn check_file(start: &[u8]) -> Result<(), String> {
    let start = start.get(..START_BYTES).unwrap_or(start);
    match looks_like(start) == Some(UTF_16) {
        true => Ok(()),
        false => check_start(start),
    }
}

fn looks_like(start: &[u8]) -> Option<&'static str> {
    if is_excel(start) {
        return Some(EXCEL);
    }
    if let Some((_, format)) = FORMATS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(format);
    }
    // A few NULs may be part of fields; many of them mean another encoding, or a binary file.
    let nuls = |skip| start.iter().skip(skip).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    if (even + odd) * 10 <= start.len() {
        return None;
    }
    match (even == 0) != (odd == 0) {
        true => Some(UTF_16),
        false => Some("a binary file"),
    }
}

fn is_excel(start: &[u8]) -> bool {
    let Some(name) = start.get(ZIP_NAME_AT..) else { return false };
    start.starts_with(b"PK\x03\x04") && OFFICE_ENTRIES.iter().any(|entry| name.starts_with(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_passes() {
        for text in [
            &b""[..],
            b"Song",
            b"Song,Date,Number of Plays\nUmbrella,2020-01-01,1\n",
            b"\xEF\xBB\xBFSong,Date\n",
            "Größe,День\n".as_bytes(),
            b"PK,PDF,%PDF,BZh\n",
            // Invalid UTF-8 is reported later, with its row.
            b"Gr\xF6\xDFe,Date,Number of Plays\n",
            b"a field may hold a \0 now and then\n",
        ] {
            assert_eq!(check_start(text), Ok(()), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn other_formats_are_named() {
        let mut workbook = b"PK\x03\x04".to_vec();
        workbook.resize(ZIP_NAME_AT, 1);
        workbook.extend(b"[Content_Types].xml");
        let utf_16: Vec<u8> = "Song,Date".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf_16_be: Vec<u8> = "Song,Date".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (start, format) in [
            (&workbook[..], "Excel"),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", "Excel"),
            (b"PK\x03\x04\x14\0\0\0\x08\0", "ZIP"),
            (b"\x1F\x8B\x08\0", "gzip"),
            (b"\x28\xB5\x2F\xFD$", "zstd"),
            (b"\xFD7zXZ\0\0", "xz"),
            (b"%PDF-1.7\n", "PDF"),
            (b"\xFF\xFES\0o\0n\0g\0", "UTF-16"),
            (b"\xFE\xFF\0S\0o\0n\0g", "UTF-16"),
            (b"\xFF\xFE\0\0S\0\0\0", "UTF-32"),
            (b"\0\0\xFE\xFF\0\0\0S", "UTF-32"),
            (&utf_16, "UTF-16"),
            (&utf_16_be, "UTF-16"),
            (b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", "PNG"),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "JPEG"),
            (&[0; 64], "binary"),
        ] {
            let reason = check_start(start).unwrap_err();
            assert!(reason.contains(format), "{} is {format}: {reason}", start.escape_ascii());
            assert_eq!(check_file(start).is_ok(), format == "UTF-16", "{format}");
        }
    }

    #[test]
    fn compression_is_recognised_by_the_first_bytes() {
        assert_eq!(compression(b"\x1F\x8B\x08\0"), Some(Compression::Gzip));
        assert_eq!(compression(b"\x28\xB5\x2F\xFD$"), Some(Compression::Zstd));
        for start in [&b""[..], b"\x1F\x8B", b"PK\x03\x04", b"Song,Date\n"] {
            assert_eq!(compression(start), None);
        }
    }

    #[test]
    fn bytes_after_the_start_are_ignored() {
        let mut text = vec![b'a'; START_BYTES];
        text.extend([0; 4096]);
        assert_eq!(check_start(&text), Ok(()));
    }
}
