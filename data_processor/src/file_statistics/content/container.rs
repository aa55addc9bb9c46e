//! Container formats: many documents and programs are ZIP archives or OLE compound files, and are
//! identified by their entries.

use std::borrow::Cow;

use super::ole::Compound;
use super::zip::Archive;

/// A container, as far as it was read.
#[derive(Debug)]
pub(super) enum Container {
    Ole(Compound),
    Zip(Archive),
}

impl Container {
    /// Recognises a container by its first block.
    pub(super) fn recognise(block: &[u8]) -> Option<Self> {
        let ole = Compound::recognise(block).map(Self::Ole);
        ole.or_else(|| Archive::recognise(block).map(Self::Zip))
    }

    /// Examines the next block of the file, starting with the first one.
    pub(super) fn add(&mut self, block: &[u8]) {
        match self {
            Self::Ole(compound) => compound.add(block),
            Self::Zip(archive) => archive.add(block),
        }
    }

    /// The media type: by the entries, then by the file name if it matches the container.
    pub(super) fn media_type(self, by_name: Option<&'static str>) -> Cow<'static, str> {
        match self {
            Self::Ole(compound) => compound.media_type(by_name).into(),
            Self::Zip(archive) => archive.media_type(by_name),
        }
    }
}

/// The little-endian 16-bit number at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// The little-endian 32-bit number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
