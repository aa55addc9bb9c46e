//! Adding many rows: where their cells most likely are is found for all of them first, so that the
//! processor waits for the memory of many at the same time.

use csv_structure::prefetch;

use super::{Cells, SEARCHED, TooLarge, first_index};
use crate::group::entry::Entry;
use crate::words::Word;

/// So many bytes stay in the cache of one processor beside all else. What all processors share is some
/// tens of times as far away, however large it is.
const NEAR: usize = 512 << 10;

/// A cell is looked for in so many places of a table behind its first one before its place is searched
/// for. Behind each table there is always room for as many cells, which is never used.
pub(crate) const BEHIND: usize = 2;

/// Where a cell most likely is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Likely(u32);

impl Likely {
    /// It is there or behind it in a table, where the word before its sums tells its inner.
    const TABLE: u32 = 1 << 31;
    /// It is in a table that is searched.
    pub(crate) const SEARCHED: u32 = 1 << 30;
    /// No place at all.
    const UNKNOWN: Self = Self(u32::MAX);

    /// Where its sums are.
    fn at(self) -> usize {
        (self.0 & !(Self::TABLE | Self::SEARCHED)) as usize
    }
}

impl<W: Word> Cells<W> {
    /// Adds the values of rows whose keys are known. Each step is taken for many of them before the
    /// next one; see `Groups::add_all`. Where a sum is too large, tells how many rows
    /// were added before.
    pub(crate) fn add_all(
        &mut self,
        rows: &[Entry],
        keys: &[u32],
        inners: usize,
        values: &[i64],
    ) -> Result<(), usize> {
        let mut likely = std::mem::take(&mut self.likely);
        likely.clear();
        likely
            .extend(rows.iter().zip(keys).map(|(row, key)| self.likely(*key as usize, row.inner)));
        if self.words.len() * size_of::<W>() > NEAR {
            for at in &likely {
                prefetch(&self.words, at.at());
            }
        }
        let all = rows.iter().zip(keys).zip(&likely).zip(values.chunks_exact(self.sums));
        // Their cells are no more where they were.
        let mut moved = std::mem::take(&mut self.moved);
        moved.clear();
        let mut result = Ok(());
        for (at, (((row, number), likely), values)) in all.enumerate() {
            let key = *number as usize;
            let has_moved = !moved.is_empty() && moved.contains(number);
            if has_moved || !self.add_likely(*likely, (key, row.inner), values) {
                match self.add(key, row.inner, inners, values) {
                    Ok(false) => {}
                    Ok(true) => moved.push(*number),
                    Err(TooLarge) => {
                        result = Err(at);
                        break;
                    }
                }
            }
        }
        self.likely = likely;
        self.moved = moved;
        result
    }

    /// Where the cell of the inner most likely is. Nothing of it is looked at.
    #[inline(always)]
    fn likely(&self, key: usize, inner: u32) -> Likely {
        if !self.has_inner {
            let at = key * self.sums;
            return if at < self.words.len() { Likely(at as u32) } else { Likely::UNKNOWN };
        }
        match self.places.get(key) {
            Some(place) if place.is_row() && inner < place.room() => {
                Likely(place.at + inner * self.sums as u32)
            }
            Some(place) if !place.is_row() && place.room() as usize > SEARCHED => {
                let index = first_index(inner, place.room()) as u32;
                Likely((place.at + index * (1 + self.sums as u32) + 1) | Likely::TABLE)
            }
            Some(place) => Likely(place.at | Likely::SEARCHED),
            None => Likely::UNKNOWN,
        }
    }

    /// Has the start of the key's cells brought into the processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, key: usize) {
        let at = match self.has_inner {
            true => self.places.get(key).map_or(0, |place| place.at as usize),
            false => key * self.sums,
        };
        prefetch(&self.words, at);
    }

    /// Adds `values` to the cell if it is where it most likely is and they fit; else nothing is done. The
    /// key may not have moved since [`Cells::likely`].
    #[inline(always)]
    fn add_likely(&mut self, likely: Likely, of: (usize, u32), values: &[i64]) -> bool {
        let mut at = likely.at();
        if likely.0 & Likely::SEARCHED != 0 || at >= self.words.len() {
            return false;
        }
        if likely.0 & Likely::TABLE != 0 {
            let inner = W::number(of.1);
            // No branches: they would be guessed wrong as often as not.
            for _ in 0..BEHIND {
                at += if self.words[at - 1] == inner { 0 } else { 1 + self.sums };
            }
            if self.words[at - 1] != inner {
                return false;
            }
        }
        let sum = &mut self.words[at];
        if *sum == W::ABSENT {
            return self.insert_at(at, of, values).is_ok();
        }
        match (values, sum.plus(values[0])) {
            ([_], Some(total)) => {
                *sum = total;
                true
            }
            _ => self.add_at(at, of, values).is_ok(),
        }
    }
}
