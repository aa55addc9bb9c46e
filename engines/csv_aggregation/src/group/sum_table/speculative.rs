//! Adds batches of rows with speculative lookups: the likely positions of all cells are computed
//! and prefetched first, so that the cache misses of a batch overlap.
//!
//! A wrong guess is harmless: the row is then added the usual way.

use csv_structure::prefetch;

use super::{MAX_SCANNED, SumTable, TooLarge, first_index};
use crate::group::entry::Entry;
use crate::words::Word;

/// The size in bytes up to which the words stay in the private cache of a core, so that prefetching
/// them would be wasted. A shared cache does not count: its latency is some tens of times as high.
const CACHED_BYTES: usize = 512 << 10;

/// How many cells of a hash table are probed after the first one before the guess counts as wrong.
/// Each such table ends with as many unused cells, so that the probes stay within it.
pub(crate) const EXTRA_PROBES: usize = 2;

/// The likely position of the sums of a cell, with flags in the upper two bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Guess(u32);

impl Guess {
    /// The cell is in a hash table, at this position or shortly after it. The word before its sums
    /// is its id.
    const TABLE: u32 = 1 << 31;
    /// The cell is in a table that has to be scanned from this position on.
    pub(crate) const SCANNED: u32 = 1 << 30;
    /// There is no guess.
    const UNKNOWN: Self = Self(u32::MAX);

    /// The position without the flags.
    fn at(self) -> usize {
        (self.0 & !(Self::TABLE | Self::SCANNED)) as usize
    }
}

impl<W: Word> SumTable<W> {
    /// Adds the values of rows with these key numbers. Each step is done for the whole batch before
    /// the next step; see `Groups::add_all`. If a sum is too large, returns the number of rows that
    /// were added before.
    pub(crate) fn add_all(
        &mut self,
        rows: &[Entry],
        keys: &[u32],
        dict_len: usize,
        values: &[i64],
    ) -> Result<(), usize> {
        let mut guesses = std::mem::take(&mut self.guesses);
        guesses.clear();
        guesses
            .extend(rows.iter().zip(keys).map(|(row, key)| self.guess(*key as usize, row.dict_id)));
        if self.words.len() * size_of::<W>() > CACHED_BYTES {
            for guess in &guesses {
                prefetch(&self.words, guess.at());
            }
        }
        let all = rows.iter().zip(keys).zip(&guesses).zip(values.chunks_exact(self.sums));
        // Keys that have moved since: their guesses are stale.
        let mut moved = std::mem::take(&mut self.moved);
        moved.clear();
        let mut result = Ok(());
        for (at, (((row, number), guess), values)) in all.enumerate() {
            let key = *number as usize;
            let has_moved = !moved.is_empty() && moved.contains(number);
            if has_moved || !self.add_speculatively(*guess, (key, row.dict_id), values) {
                match self.add(key, row.dict_id, dict_len, values) {
                    Ok(false) => {}
                    Ok(true) => moved.push(*number),
                    Err(TooLarge) => {
                        result = Err(at);
                        break;
                    }
                }
            }
        }
        self.guesses = guesses;
        self.moved = moved;
        result
    }

    /// Guesses the position of the cell of `dict_id` without reading any cells.
    #[inline(always)]
    fn guess(&self, key: usize, dict_id: u32) -> Guess {
        if !self.has_dict {
            let at = key * self.sums;
            return if at < self.words.len() { Guess(at as u32) } else { Guess::UNKNOWN };
        }
        match self.slots.get(key) {
            Some(slot) if slot.is_row() && dict_id < slot.room() => {
                Guess(slot.at + dict_id * self.sums as u32)
            }
            Some(slot) if !slot.is_row() && slot.room() as usize > MAX_SCANNED => {
                let index = first_index(dict_id, slot.room()) as u32;
                Guess((slot.at + index * (1 + self.sums as u32) + 1) | Guess::TABLE)
            }
            Some(slot) => Guess(slot.at | Guess::SCANNED),
            None => Guess::UNKNOWN,
        }
    }

    /// Prefetches the first cells of the key.
    #[inline]
    pub(crate) fn prefetch(&self, key: usize) {
        let at = match self.has_dict {
            true => self.slots.get(key).map_or(0, |slot| slot.at as usize),
            false => key * self.sums,
        };
        prefetch(&self.words, at);
    }

    /// Adds `values` to the cell if the guess is right and the sums fit. Otherwise does nothing and
    /// returns false. The key must not have moved since [`SumTable::guess`].
    #[inline(always)]
    fn add_speculatively(&mut self, guess: Guess, of: (usize, u32), values: &[i64]) -> bool {
        let mut at = guess.at();
        if guess.0 & Guess::SCANNED != 0 || at >= self.words.len() {
            return false;
        }
        if guess.0 & Guess::TABLE != 0 {
            let dict_id = W::number(of.1);
            // Branchless: branches would be mispredicted about half of the time.
            for _ in 0..EXTRA_PROBES {
                at += if self.words[at - 1] == dict_id { 0 } else { 1 + self.sums };
            }
            if self.words[at - 1] != dict_id {
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
