//! OLE compound files (MS-CFB): Office documents before 2007, Outlook messages, installers.
//!
//! A compound file is identified by its directory. The header has the offset of the directory,
//! which is usually far after the first block, so its first entries are kept when they are read.

use std::collections::BTreeSet;

use super::container::{u16_at, u32_at};

const SIGNATURE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
/// The size of an entry of the directory, in bytes.
const ENTRY: usize = 128;
/// The number of entries that are kept.
const ENTRIES: usize = 32;
/// Numbers from this one on are special values, not sectors.
const NO_SECTOR: u32 = 0xFFFF_FFFA;

const EXCEL: &str = "application/vnd.ms-excel";
const OUTLOOK: &str = "application/vnd.ms-outlook";
const POWERPOINT: &str = "application/vnd.ms-powerpoint";
const PUBLISHER: &str = "application/x-mspublisher";
const VISIO: &str = "application/vnd.visio";
const WORD: &str = "application/msword";
/// Formats that the file name may choose if the directory does not identify one.
const BY_NAME: [&str; 8] = [
    EXCEL,
    OUTLOOK,
    POWERPOINT,
    PUBLISHER,
    VISIO,
    WORD,
    "application/vnd.ms-project",
    "application/vnd.ms-works",
];
/// Encrypted Office documents since 2007 are compound files too.
const ENCRYPTED: &str = "application/vnd.openxmlformats-officedocument.";
const UNKNOWN: &str = "application/x-ole-storage";

/// A compound file, as far as it was read.
#[derive(Debug)]
pub(super) struct Compound {
    /// The offset of the directory, if there is one.
    at: Option<u64>,
    /// The number of bytes read so far.
    read: u64,
    directory: Vec<u8>,
}

impl Compound {
    pub(super) fn recognise(block: &[u8]) -> Option<Self> {
        if !block.starts_with(SIGNATURE) {
            return None;
        }
        let shift = u16_at(block, 30).filter(|shift| matches!(shift, 9 | 12));
        let sector = u32_at(block, 48).filter(|sector| *sector < NO_SECTOR);
        // The header takes the space of one sector.
        let at = shift.zip(sector).map(|(shift, sector)| (u64::from(sector) + 1) << shift);
        Some(Self { at, read: 0, directory: Vec::new() })
    }

    pub(super) fn add(&mut self, block: &[u8]) {
        let begin = self.read;
        self.read += block.len() as u64;
        let missing = ENTRIES * ENTRY - self.directory.len();
        let Some(at) = self.at.filter(|at| *at < self.read && missing > 0) else { return };
        // Bytes of earlier blocks are kept already.
        let next = at.max(begin);
        let part = usize::try_from(next - begin).ok().and_then(|skip| block.get(skip..));
        self.directory.extend(part.unwrap_or_default().iter().take(missing));
    }

    pub(super) fn media_type(&self, by_name: Option<&'static str>) -> &'static str {
        let by_class = self.class().and_then(by_class);
        by_class.or_else(|| self.names().iter().find_map(|name| by_stream(name))).unwrap_or_else(
            || {
                let fits = |name: &&str| BY_NAME.contains(name) || name.starts_with(ENCRYPTED);
                by_name.filter(fits).unwrap_or(UNKNOWN)
            },
        )
    }

    fn entry(&self, index: u32) -> Option<&[u8]> {
        self.directory.chunks_exact(ENTRY).nth(usize::try_from(index).ok()?)
    }

    /// The class identifier of the root, which identifies the program that wrote the file.
    fn class(&self) -> Option<[u8; 16]> {
        self.entry(0)?.get(80..)?.first_chunk().copied()
    }

    /// The names of the entries of the root, without those of embedded documents.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let child = self.entry(0).and_then(|root| u32_at(root, 76));
        let mut next: Vec<u32> = child.into_iter().collect();
        while let Some(index) = next.pop() {
            if let Some(entry) = self.entry(index).filter(|_| seen.insert(index)) {
                names.insert(name(entry));
                next.extend([68, 72].into_iter().filter_map(|at| u32_at(entry, at)));
            }
        }
        names
    }
}

fn name(entry: &[u8]) -> String {
    let units = entry[..64].as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

fn by_class(class: [u8; 16]) -> Option<&'static str> {
    const OF_MICROSOFT: &[u8] = b"\0\0\0\0\xC0\0\0\0\0\0\0\x46";
    const OF_PUBLISHER: &[u8] = b"\0\0\0\0\0\xC0\0\0\0\0\0\x46";
    const OF_POWERPOINT: &[u8] = b"\x9B\x4F\xCF\x11\x86\xEA\x00\xAA\x00\xB9\x29\xE8";
    match (u32_at(&class, 0)?, &class[4..]) {
        (0x0002_0810 | 0x0002_0820 | 0x0002_0821, OF_MICROSOFT) => Some(EXCEL),
        (0x0002_0900 | 0x0002_0906 | 0x0002_0907, OF_MICROSOFT) => Some(WORD),
        (0x0002_0D0B | 0x0006_F046, OF_MICROSOFT) => Some(OUTLOOK),
        (0x0002_1A13 | 0x0002_1A14, OF_MICROSOFT) => Some(VISIO),
        (0x000C_1084 | 0x000C_1086, OF_MICROSOFT) => Some("application/x-msi"),
        (0x0002_1201, OF_PUBLISHER) => Some(PUBLISHER),
        (0x6481_8D10 | 0x6481_8D11, OF_POWERPOINT) => Some(POWERPOINT),
        _ => None,
    }
}

fn by_stream(name: &str) -> Option<&'static str> {
    match name {
        "Workbook" | "Book" => Some(EXCEL),
        "WordDocument" => Some(WORD),
        "PowerPoint Document" => Some(POWERPOINT),
        "VisioDocument" => Some(VISIO),
        "Quill" => Some(PUBLISHER),
        "__nameid_version1.0" | "__properties_version1.0" => Some(OUTLOOK),
        name if name.starts_with("__substg1.0_") => Some(OUTLOOK),
        _ => None,
    }
}
