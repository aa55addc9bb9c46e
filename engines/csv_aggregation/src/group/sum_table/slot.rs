//! Where the cells of a key are, packed into eight bytes because there are millions of keys.

/// The row or table of a key. The default is a table without room.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    /// The position of the first word.
    pub(crate) at: u32,
    /// For a row, [`Slot::ROW`] and the number of cells for which there is room. For a table, the
    /// number of its cells and, from bit [`Slot::LENGTH_BITS`] on, 1 plus the logarithm of its
    /// room.
    shape: u32,
}

impl Slot {
    const ROW: u32 = 1 << 31;
    /// The bits for the number of cells of a table. There are fewer dates, and a dictionary of
    /// values is closed long before.
    const LENGTH_BITS: u32 = 26;

    /// A row at `at` with room for `room` cells.
    pub(crate) fn row(at: u32, room: usize) -> Self {
        Self { at, shape: Self::ROW | room as u32 }
    }

    /// An empty table at `at` with room for `room` cells, a power of two.
    pub(crate) fn table(at: u32, room: usize) -> Self {
        Self { at, shape: (room.ilog2() + 1) << Self::LENGTH_BITS }
    }

    #[inline(always)]
    pub(crate) fn is_row(self) -> bool {
        self.shape & Self::ROW != 0
    }

    /// The number of cells for which there is room.
    #[inline(always)]
    pub(crate) fn room(self) -> u32 {
        match self.is_row() {
            true => self.shape & !Self::ROW,
            false => 1 << (self.shape >> Self::LENGTH_BITS) >> 1,
        }
    }

    /// The number of cells of a table.
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.shape & ((1 << Self::LENGTH_BITS) - 1)
    }

    /// Counts a new cell of a table.
    #[inline(always)]
    pub(crate) fn add_cell(&mut self) {
        self.shape += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_packs_the_kind_the_room_and_the_length() {
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
