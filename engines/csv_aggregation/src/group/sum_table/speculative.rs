//! Adding many rows: where their cells most likely are is found for all of them first, so that the
//! processor waits for the memory of many at the same time.

use csv_structure::prefetch;

use super::{SEARCHED, SumTable, TooLarge, first_index};
use crate::group::entry::Entry;
use crate::words::Word;

/// So many bytes stay in the cache of one processor beside all else. What all processors share is some
/// tens of times as far away, however large it is.
const NEAR: usize = 512 << 10;

/// A cell is looked for in so many slots of a table behind its first one before its slot is searched
/// for. Behind each table there is always room for as many cells, which is never used.
pub(crate) const BEHIND: usize = 2;

/// Where a cell most likely is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Guess(u32);

impl Guess {
    /// It is there or behind it in a table, where the word before its sums tells its dict_id.
    const TABLE: u32 = 1 << 31;
    /// It is in a table that is searched.
    pub(crate) const SEARCHED: u32 = 1 << 30;
    /// No slot at all.
    const UNKNOWN: Self = Self(u32::MAX);

    /// Where its sums are.
    fn at(self) -> usize {
        (self.0 & !(Self::TABLE | Self::SEARCHED)) as usize
    }
}

impl<W: Word> SumTable<W> {
    /// Adds the values of rows whose keys are known. Each step is taken for many of them before the
    /// next one; see `Groups::add_all`. Where a sum is too large, tells how many rows
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
        if self.words.len() * size_of::<W>() > NEAR {
            for at in &guesses {
                prefetch(&self.words, at.at());
            }
        }
        let all = rows.iter().zip(keys).zip(&guesses).zip(values.chunks_exact(self.sums));
        // Their cells are no more where they were.
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

    /// Where the cell of the dict_id most likely is. Nothing of it is looked at.
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
            Some(slot) if !slot.is_row() && slot.room() as usize > SEARCHED => {
                let index = first_index(dict_id, slot.room()) as u32;
                Guess((slot.at + index * (1 + self.sums as u32) + 1) | Guess::TABLE)
            }
            Some(slot) => Guess(slot.at | Guess::SEARCHED),
            None => Guess::UNKNOWN,
        }
    }

    /// Has the start of the key's cells brought into the processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, key: usize) {
        let at = match self.has_dict {
            true => self.slots.get(key).map_or(0, |slot| slot.at as usize),
            false => key * self.sums,
        };
        prefetch(&self.words, at);
    }

    /// Adds `values` to the cell if it is where it most likely is and they fit; else nothing is done. The
    /// key may not have moved since [`SumTable::guess`].
    #[inline(always)]
    fn add_speculatively(&mut self, guess: Guess, of: (usize, u32), values: &[i64]) -> bool {
        let mut at = guess.at();
        if guess.0 & Guess::SEARCHED != 0 || at >= self.words.len() {
            return false;
        }
        if guess.0 & Guess::TABLE != 0 {
            let dict_id = W::number(of.1);
            // No branches: they would be guessed wrong as often as not.
            for _ in 0..BEHIND {
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
