//! A buffer with padding, so that whole blocks can be read across its end.

use crate::masks::BLOCK;

/// The bytes of a chunk, followed by at least [`BLOCK`] bytes of padding.
#[derive(Debug, Default)]
pub struct PaddedBuffer {
    bytes: Vec<u8>,
    length: usize,
}

impl PaddedBuffer {
    /// The bytes of the chunk, without the padding.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The bytes of the chunk, the padding, and what was appended after it.
    #[inline]
    #[must_use]
    pub fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Like [`PaddedBuffer::padded`], for writing.
    #[inline]
    #[must_use]
    pub fn padded_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Space for `length` bytes, to be filled by the caller and then made part of the chunk by
    /// [`PaddedBuffer::set_len`]. Existing bytes are kept.
    pub fn reserve(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length + BLOCK {
            self.bytes.resize(length + BLOCK, 0);
        }
        &mut self.bytes[..length]
    }

    /// Adds `length` bytes after the padding, followed by more padding, and returns their offset.
    /// They are not part of the chunk, and removed by [`PaddedBuffer::set_len`].
    pub fn append(&mut self, length: usize) -> usize {
        let start = self.bytes.len();
        self.bytes.resize(start + length + BLOCK, 0);
        start
    }

    /// Makes the first `length` bytes the chunk.
    pub fn set_len(&mut self, length: usize) {
        self.reserve(length);
        self.length = length;
        self.bytes.truncate(length + BLOCK);
        // Commas and line ends of an earlier chunk must not remain in the padding.
        self.bytes[length..length + BLOCK].fill(0);
    }
}
