//! Memory for many small pieces of bytes that are freed together.

/// The first block is small, so that few groups take little; each next one is twice as large.
const FIRST_BLOCK: usize = 4 << 10;
const LARGEST_BLOCK: usize = 1 << 20;

/// Where a piece is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    block: u32,
    offset: u32,
}

/// Pieces of bytes, never moved and never freed one by one.
#[derive(Default)]
pub(super) struct Arena {
    blocks: Vec<Vec<u8>>,
    allocated: u64,
}

impl Arena {
    /// The bytes taken from the system.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated + (self.blocks.capacity() * size_of::<Vec<u8>>()) as u64
    }

    /// Keeps the concatenation of `parts` as one piece.
    pub(super) fn push(&mut self, parts: [&[u8]; 2]) -> Location {
        let length = parts[0].len() + parts[1].len();
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < length) {
            let usual = FIRST_BLOCK << self.blocks.len().min(16);
            let block = Vec::with_capacity(usual.min(LARGEST_BLOCK).max(length));
            self.allocated += block.capacity() as u64;
            self.blocks.push(block);
        }
        let index = self.blocks.len() - 1;
        let block = &mut self.blocks[index];
        let offset = block.len();
        for part in parts {
            block.extend_from_slice(part);
        }
        // A block is a record at most, and a million of blocks is a terabyte.
        Location { block: index as u32, offset: offset as u32 }
    }

    /// What the block holds from the piece at `location` on; the caller knows its length.
    pub(super) fn at(&self, location: Location) -> &[u8] {
        &self.blocks[location.block as usize][location.offset as usize..]
    }

    /// Like [`Arena::at`], to change it.
    pub(super) fn at_mut(&mut self, location: Location) -> &mut [u8] {
        &mut self.blocks[location.block as usize][location.offset as usize..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_where_they_are() {
        let mut arena = Arena::default();
        let pieces: Vec<_> = (0..5_000_usize).map(|n| vec![n as u8; n % 1500]).collect();
        let kept: Vec<_> = pieces.iter().map(|piece| arena.push([b"<", piece])).collect();
        let large = arena.push([&[7; 3 << 20], b"end"]);
        for (piece, location) in pieces.iter().zip(kept) {
            let bytes = arena.at(location);
            assert_eq!(bytes[0], b'<');
            assert_eq!(&bytes[1..=piece.len()], piece);
        }
        assert_eq!(&arena.at(large)[3 << 20..], b"end");
    }

    #[test]
    fn allocated_is_what_the_pieces_take_and_little_more() {
        let mut arena = Arena::default();
        arena.push([b"one", b"piece"]);
        assert!(arena.allocated() < 8 << 10);
        for _ in 0..100_000 {
            arena.push([&[0; 50], &[0; 50]]);
        }
        let pieces = 100_000 * 100;
        assert!(arena.allocated() >= pieces);
        assert!(arena.allocated() < pieces + pieces / 5);
    }
}
