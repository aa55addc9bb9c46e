//! The sums of each key, with a cell for each of its dictionary ids ([`crate::group::dictionary`]).
//!
//! A key with few ids has a small table, which maps ids to cells. A key with many has a dense row,
//! which is indexed by id and stores neither hashes nor ids. A key moves from one to the other as
//! it grows. If no column is dictionary-encoded, each key has a single cell, indexed by the number
//! of the key.
//!
//! # Invariants
//! - All sums are words of one size ([`crate::group::sums`]). A sum that would exceed the largest
//!   words is moved to `large` and restarts at 0. So sums are exact and never wrap. `large` is
//!   empty for all but pathological files.
//! - A cell is empty if its first sum is [`Word::ABSENT`]; in a table, if its id is.

mod slot;
mod speculative;

use std::collections::{BTreeMap, HashMap};

use self::slot::Slot;
use self::speculative::{EXTRA_PROBES, Guess};
use crate::group::dict_ranks::DictRanks;
use crate::group::key_group::KeyGroup;
use crate::radix::sort_by_upper_half;
use crate::words::Word;

/// A table with room for up to this many cells is scanned from its start, a larger one is hashed.
const MAX_SCANNED: usize = 8;
/// A key gets a row if it takes at most this many times the memory of a table. Rows are much
/// faster, and the tables abandoned while a key grows would take as much memory.
const ROW_FACTOR: usize = 8;

/// A sum does not fit its word. Nothing was added.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// The cells of all keys.
#[derive(Debug)]
pub(crate) struct SumTable<W> {
    /// The number of sums of a cell.
    sums: usize,
    /// Whether a column is dictionary-encoded. If not, there are no slots.
    has_dict: bool,
    /// Where the cells of each key are.
    slots: Vec<Slot>,
    /// The cells of all keys. Those of a row are sums only, those of a table an id and then sums.
    words: Vec<W>,
    /// Free lists of `words` by length: the first word of a free block is the position of the next.
    free: BTreeMap<usize, W>,
    /// The part of a sum that exceeds its word, by key, dictionary id and index of the sum.
    large: HashMap<(u32, u32, u32), i128>,
    /// The guesses of the current batch, and the keys that have moved since. Kept for their
    /// capacity.
    guesses: Vec<Guess>,
    moved: Vec<u32>,
}

impl<W: Word> SumTable<W> {
    pub(crate) fn new(sums: usize, has_dict: bool) -> Self {
        Self {
            sums,
            has_dict,
            slots: Vec::new(),
            words: Vec::new(),
            free: BTreeMap::new(),
            large: HashMap::new(),
            guesses: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Moves all cells to a table with the largest words.
    pub(crate) fn widened(&mut self) -> SumTable<i64> {
        let widened = |word: &W| match *word == W::ABSENT {
            true => i64::ABSENT,
            false => word.wide(),
        };
        // Keeps the reserved address space; see [`SumTable::reserve`].
        let mut words = Vec::with_capacity(self.words.capacity());
        words.extend(self.words.iter().map(widened));
        SumTable {
            sums: self.sums,
            has_dict: self.has_dict,
            slots: std::mem::take(&mut self.slots),
            words,
            free: self.free.iter().map(|(length, at)| (*length, widened(at))).collect(),
            large: std::mem::take(&mut self.large),
            guesses: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Like [`crate::group::key_table::KeyTable::reserve`].
    pub(crate) fn reserve(&mut self, bytes: usize) {
        let _ = self.words.try_reserve(bytes / size_of::<W>());
        let _ = self.slots.try_reserve(bytes / size_of::<Slot>());
    }

    /// The memory of the table in bytes; see [`crate::group::key_table::KeyTable::memory`].
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
            + self.words.len() * size_of::<W>()
            + self.large.capacity() * 2 * size_of::<((u32, u32, u32), i128)>()
    }

    /// Whether the cells of another chunk might exceed the positions that a [`Guess`] can hold.
    pub(crate) fn is_full(&self) -> bool {
        self.words.len() > (Guess::SCANNED / 2) as usize
    }

    /// Adds `values` to the cell of `dict_id` of the key, and returns whether the key moved.
    /// `dict_len` is the current number of dictionary ids.
    #[inline]
    pub(crate) fn add(
        &mut self,
        key: usize,
        dict_id: u32,
        dict_len: usize,
        values: &[i64],
    ) -> Result<bool, TooLarge> {
        if !self.has_dict {
            let at = key * self.sums;
            if self.words.len() <= at {
                self.words.resize(at + self.sums, W::ABSENT);
            }
            return match self.words[at] == W::ABSENT {
                true => self.insert_at(at, (key, dict_id), values),
                false => self.add_at(at, (key, dict_id), values),
            }
            .map(|()| false);
        }
        let slot = match self.slots.get(key) {
            Some(slot) => *slot,
            None => {
                self.slots.resize(key + 1, Slot::default());
                Slot::default()
            }
        };
        match self.find(slot, dict_id) {
            Ok(at) => self.add_at(at, (key, dict_id), values).map(|()| false),
            Err(free) => self.insert(free, (key, dict_id), dict_len, values),
        }
    }

    /// Adds `values` to the existing cell whose sums are at `at`.
    #[inline]
    fn add_at(
        &mut self,
        at: usize,
        (key, dict_id): (usize, u32),
        values: &[i64],
    ) -> Result<(), TooLarge> {
        let cell = &mut self.words[at..at + self.sums];
        let mut all = cell.iter().zip(values);
        if !W::LARGEST && all.any(|(sum, value)| sum.plus(*value).is_none()) {
            return Err(TooLarge);
        }
        for (index, (sum, value)) in cell.iter_mut().zip(values).enumerate() {
            match sum.plus(*value) {
                Some(total) => *sum = total,
                None => {
                    let entry = self.large.entry((key as u32, dict_id, index as u32)).or_default();
                    *entry += i128::from(sum.wide()) + i128::from(*value);
                    *sum = W::number(0);
                }
            }
        }
        Ok(())
    }

    /// The position of the sums of the cell of `dict_id`. If there is no such cell, the position
    /// for those of a new one, if there is room.
    #[inline]
    fn find(&self, slot: Slot, dict_id: u32) -> Result<usize, Option<usize>> {
        let start = slot.at as usize;
        if slot.is_row() {
            if dict_id >= slot.room() {
                return Err(None);
            }
            let at = start + dict_id as usize * self.sums;
            return if self.words[at] == W::ABSENT { Err(Some(at)) } else { Ok(at) };
        }
        let size = 1 + self.sums;
        let (room, mut index) = (slot.room() as usize, first_index(dict_id, slot.room()));
        while index < room {
            let at = start + index * size;
            if self.words[at] == W::number(dict_id) {
                return Ok(at + 1);
            }
            if self.words[at] == W::ABSENT {
                return Err(Some(at + 1));
            }
            index += 1;
            if room > MAX_SCANNED {
                index &= room - 1;
            }
        }
        Err(None)
    }

    /// Adds a cell, and returns whether the key moved. `free` is the position for its sums, if
    /// there is room.
    #[inline(never)]
    fn insert(
        &mut self,
        free: Option<usize>,
        (key, dict_id): (usize, u32),
        dict_len: usize,
        values: &[i64],
    ) -> Result<bool, TooLarge> {
        Self::check(values)?;
        let slot = self.slots[key];
        // A half-empty hash table keeps probe sequences short.
        let is_crowded =
            !slot.is_row() && slot.room() as usize > MAX_SCANNED && slot.len() * 2 >= slot.room();
        let (at, moved) = match free {
            Some(at) if !is_crowded => (at, false),
            _ => {
                self.move_to_larger(key, dict_len);
                (self.free_cell(key, dict_id), true)
            }
        };
        self.register_cell(key, dict_id, at);
        self.fill(at, (key, dict_id), values);
        Ok(moved)
    }

    /// The position for the sums of a new cell. There must be room.
    fn free_cell(&self, key: usize, dict_id: u32) -> usize {
        let slot = self.slots[key];
        let start = slot.at as usize;
        if slot.is_row() {
            return start + dict_id as usize * self.sums;
        }
        let size = 1 + self.sums;
        let mut index = first_index(dict_id, slot.room());
        while self.words[start + index * size] != W::ABSENT {
            index = (index + 1) & (slot.room() as usize - 1);
        }
        start + index * size + 1
    }

    /// Registers a new cell whose sums are at `at`: a table stores the id before them, and counts
    /// its cells.
    #[inline]
    fn register_cell(&mut self, key: usize, dict_id: u32, at: usize) {
        if !self.slots[key].is_row() {
            self.words[at - 1] = W::number(dict_id);
            self.slots[key].add_cell();
        }
    }

    /// Fails if a value does not fit a word. The largest words take all.
    fn check(values: &[i64]) -> Result<(), TooLarge> {
        let fit = W::LARGEST || values.iter().all(|value| W::of(*value).is_some());
        if fit { Ok(()) } else { Err(TooLarge) }
    }

    /// Stores the first values of a cell, if they fit.
    #[inline(never)]
    fn insert_at(&mut self, at: usize, of: (usize, u32), values: &[i64]) -> Result<(), TooLarge> {
        Self::check(values)?;
        self.fill(at, of, values);
        Ok(())
    }

    /// Stores the first values of a cell, which were checked.
    #[inline]
    fn fill(&mut self, at: usize, (key, dict_id): (usize, u32), values: &[i64]) {
        for (index, (sum, value)) in self.words[at..].iter_mut().zip(values).enumerate() {
            *sum = W::of(*value).unwrap_or_else(|| {
                let entry = self.large.entry((key as u32, dict_id, index as u32)).or_default();
                *entry += i128::from(*value);
                W::number(0)
            });
        }
    }

    /// Moves the cells of a key to a larger table or row.
    fn move_to_larger(&mut self, key: usize, dict_len: usize) {
        let old = self.slots[key];
        let cells = match old.is_row() {
            true => (0..old.room() as usize).filter(|at| self.cell(old, *at).is_some()).count(),
            false => old.len() as usize,
        };
        let table = (cells + 1).next_power_of_two();
        let crowded = table > MAX_SCANNED && cells * 2 >= table;
        let table = if crowded { table * 2 } else { table };
        let row = dict_len.next_multiple_of(if dict_len > 32 { 32 } else { 1 });
        let as_row = row * self.sums <= ROW_FACTOR * table * (1 + self.sums) || dict_len == 1;
        let room = if as_row { row } else { table };
        let at = self.allocate(self.length(room, as_row));
        self.slots[key] = if as_row { Slot::row(at, room) } else { Slot::table(at, room) };
        for index in 0..old.room() as usize {
            if let Some((dict_id, from)) = self.cell(old, index) {
                let to = self.free_cell(key, dict_id);
                self.register_cell(key, dict_id, to);
                self.words.copy_within(from..from + self.sums, to);
            }
        }
        let length = self.length(old.room() as usize, old.is_row());
        if length > 0 {
            let next = self.free.insert(length, W::number(old.at));
            self.words[old.at as usize] = next.unwrap_or(W::ABSENT);
        }
    }

    /// The number of words of a row or table with this room.
    fn length(&self, room: usize, row: bool) -> usize {
        match row {
            true => room * self.sums,
            false if room > MAX_SCANNED => (room + EXTRA_PROBES) * (1 + self.sums),
            false => room * (1 + self.sums),
        }
    }

    /// Allocates a block of `length` words, all [`Word::ABSENT`].
    fn allocate(&mut self, length: usize) -> u32 {
        if let Some(free) = self.free.get_mut(&length)
            && *free != W::ABSENT
        {
            let at = free.wide() as usize;
            *free = self.words[at];
            self.words[at..at + length].fill(W::ABSENT);
            return at as u32;
        }
        let at = self.words.len();
        self.words.resize(at + length, W::ABSENT);
        at as u32
    }

    /// The id of the cell at `index` of a row or table and the position of its sums. `None` if the
    /// cell is empty.
    #[inline]
    fn cell(&self, slot: Slot, index: usize) -> Option<(u32, usize)> {
        let start = slot.at as usize;
        if slot.is_row() {
            let at = start + index * self.sums;
            return (self.words[at] != W::ABSENT).then_some((index as u32, at));
        }
        let at = start + index * (1 + self.sums);
        (self.words[at] != W::ABSENT).then_some((self.words[at].wide() as u32, at + 1))
    }

    /// Appends all cells of the key to `group`, in the order of the dictionary.
    pub(crate) fn read(
        &self,
        key: usize,
        order: &DictRanks,
        group: &mut KeyGroup,
        scratch: &mut [Vec<u64>; 2],
    ) {
        if !self.has_dict {
            return self.push(group, (key, 0), 0, key * self.sums);
        }
        let slot = self.slots[key];
        if slot.is_row() {
            let ids =
                order.codes.iter().zip(&order.ids).filter(|(_, dict_id)| **dict_id < slot.room());
            for (code, dict_id) in ids {
                if let Some((dict_id, at)) = self.cell(slot, *dict_id as usize) {
                    self.push(group, (key, dict_id), *code, at);
                }
            }
            return;
        }
        let [cells, other] = scratch;
        self.cells_of_table(slot, cells);
        // Replace ids by their ranks and sort by them.
        for cell in &mut *cells {
            let rank = order.ranks[(*cell >> 32) as usize];
            *cell = u64::from(rank) << 32 | u64::from(*cell as u32);
        }
        sort_by_upper_half(cells, other, order.ranks.len() as u32);
        for cell in &*cells {
            let (rank, at) = ((*cell >> 32) as usize, *cell as u32 as usize);
            self.push(group, (key, order.ids[rank]), order.codes[rank], at);
        }
    }

    /// Finds the cells of a table. The upper half of each word is a dictionary id, the lower half
    /// the position of the sums.
    fn cells_of_table(&self, slot: Slot, found: &mut Vec<u64>) {
        found.clear();
        found.resize(slot.room() as usize, 0);
        let mut count = 0;
        // Branchless: about half of the cells are empty, in no predictable pattern.
        for index in 0..slot.room() as usize {
            let at = slot.at as usize + index * (1 + self.sums);
            let dict_id = self.words[at];
            found[count] = u64::from(dict_id.wide() as u32) << 32 | (at as u64 + 1);
            count += usize::from(dict_id != W::ABSENT);
        }
        found.truncate(count);
    }

    /// Appends the cell whose sums are at `at` to `group`.
    #[inline]
    fn push(&self, group: &mut KeyGroup, (key, dict_id): (usize, u32), code: u32, at: usize) {
        group.codes.push(code);
        let sums = &self.words[at..at + self.sums];
        group.sums.extend(sums.iter().map(|sum| i128::from(sum.wide())));
        if self.large.is_empty() {
            return;
        }
        let start = group.sums.len() - self.sums;
        for (index, sum) in group.sums[start..].iter_mut().enumerate() {
            *sum +=
                self.large.get(&(key as u32, dict_id, index as u32)).copied().unwrap_or_default();
        }
    }
}

/// The index at which the search for an id starts in a table.
#[inline]
fn first_index(dict_id: u32, room: u32) -> usize {
    if room as usize <= MAX_SCANNED {
        return 0;
    }
    (dict_id.wrapping_mul(0x9E37_79B9) >> (32 - room.ilog2())) as usize
}
