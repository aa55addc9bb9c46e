//! Files of files: many formats of documents and programs are one of two containers, which are told
//! apart by what is in them.

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
    /// The container that a file with this first block is.
    pub(super) fn recognise(block: &[u8]) -> Option<Self> {
        let ole = Compound::recognise(block).map(Self::Ole);
        ole.or_else(|| Archive::recognise(block).map(Self::Zip))
    }

    /// Looks at the next block of the file, the first one too.
    pub(super) fn add(&mut self, block: &[u8]) {
        match self {
            Self::Ole(compound) => compound.add(block),
            Self::Zip(archive) => archive.add(block),
        }
    }

    /// By what is in it, then by the name of the file where that is a format of this container.
    pub(super) fn media_type(self, by_name: Option<&'static str>) -> Cow<'static, str> {
        match self {
            Self::Ole(compound) => compound.media_type(by_name).into(),
            Self::Zip(archive) => archive.media_type(by_name),
        }
    }
}

/// The number of two bytes at `at`, the low byte first.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// The number of four bytes at `at`, the low byte first.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
