//! Where the cells of a key are, in eight bytes: there is one for each of millions of keys.

/// A piece of the words: a row, a table, or nothing yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    /// Where it starts.
    pub(crate) at: u32,
    /// Of a row [`Slot::ROW`] and the cells that there is room for. Of a table how many cells there are
    /// and, from [`Slot::LENGTH_BITS`] on, one more than the power of two that there is room for.
    shape: u32,
}

impl Slot {
    const ROW: u32 = 1 << 31;
    /// There are never so many days, nor values that are kept apart.
    const LENGTH_BITS: u32 = 26;

    /// A row at `at` for so many cells.
    pub(crate) fn row(at: u32, room: usize) -> Self {
        Self { at, shape: Self::ROW | room as u32 }
    }

    /// An empty table at `at` for so many cells, a power of two.
    pub(crate) fn table(at: u32, room: usize) -> Self {
        Self { at, shape: (room.ilog2() + 1) << Self::LENGTH_BITS }
    }

    #[inline(always)]
    pub(crate) fn is_row(self) -> bool {
        self.shape & Self::ROW != 0
    }

    /// How many cells there is room for.
    #[inline(always)]
    pub(crate) fn room(self) -> u32 {
        match self.is_row() {
            true => self.shape & !Self::ROW,
            false => 1 << (self.shape >> Self::LENGTH_BITS) >> 1,
        }
    }

    /// How many cells a table has.
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.shape & ((1 << Self::LENGTH_BITS) - 1)
    }

    /// A table has one cell more.
    #[inline(always)]
    pub(crate) fn add_cell(&mut self) {
        self.shape += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_its_room_and_its_cells() {
        assert!(!Slot::default().is_row());
        assert_eq!((Slot::default().room(), Slot::default().len()), (0, 0));
        for log in 0..Slot::LENGTH_BITS {
            let mut table = Slot::table(7, 1 << log);
            for len in 0..=(1 << log).min(100) {
                assert_eq!((table.is_row(), table.room(), table.len()), (false, 1 << log, len));
                table.add_cell();
            }
        }
        for room in [1, 2, 96, 4_000_000] {
            let row = Slot::row(7, room);
            assert_eq!((row.is_row(), row.room()), (true, room as u32));
        }
    }
}
