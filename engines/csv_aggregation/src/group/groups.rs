//! Groups and their sums.

use crate::group::dict_ranks::DictRanks;
use crate::group::entry::{BATCH, Entry};
use crate::group::key_group::KeyGroup;
use crate::group::key_table::{KeyTable, Known};
use crate::group::sums::Sums;

/// The C library (glibc) gives back what takes more than 32 MiB, whatever else it has learned to keep
/// (`DEFAULT_MMAP_THRESHOLD_MAX`); in bytes.
const RESERVED: usize = 40 << 20;
/// The memory that sorting takes for each key in bytes.
const SORTING: usize = size_of::<u64>();

/// Groups and their sums.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) keys: KeyTable,
    /// Their sums, and how many each has.
    table: Sums,
    sums: usize,
    /// Of the rows that are added: what their keys most likely are, and what they are.
    known: Vec<Known>,
    numbers: Vec<u32>,
}

impl Groups {
    /// None yet, with so many sums each. `has_dict` tells whether a part of them is kept apart; `seed`
    /// is that of the hashes.
    pub(crate) fn new(sums: usize, has_dict: bool, seed: u64) -> Self {
        Self {
            keys: KeyTable::new(seed),
            table: Sums::new(sums, has_dict),
            sums,
            known: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Reserves address space for many groups, which is no memory before it is used. So growing never
    /// copies, and what is freed is given back to the system at once: the C library keeps what is
    /// smaller for itself.
    pub(crate) fn reserve(&mut self) {
        self.keys.reserve(RESERVED);
        self.table.reserve(RESERVED);
    }

    /// Whether there is no room for the groups of one more chunk, whatever the memory.
    pub(crate) fn is_full(&self) -> bool {
        self.keys.is_full() || self.table.is_full()
    }

    /// The memory in bytes that they take, with what sorting them will need.
    pub(crate) fn memory(&self) -> u64 {
        (self.keys.memory() + self.table.memory() + self.keys.len() * SORTING) as u64
    }

    /// Adds `values` to the sums of the group. `dict_len` is how many ids exist so far.
    pub(crate) fn add(&mut self, key: &[u8], dict_id: u32, dict_len: usize, values: &[i64]) {
        let key = self.keys.number(key);
        self.table.add(key, dict_id, dict_len, values);
    }

    /// Adds rows whose keys stand in `data`. Each step is taken for many of them before the next one:
    /// none of them depends on another, so the processor waits for the memory of many at the same
    /// time. `dict_len` is how many ids exist so far.
    pub(crate) fn add_all(&mut self, data: &[u8], rows: &[Entry], dict_len: usize, values: &[i64]) {
        let values = values.chunks(BATCH * self.sums);
        for (rows, values) in rows.chunks(BATCH).zip(values) {
            self.number(data, rows);
            self.table.add_all(rows, &self.numbers, dict_len, values, self.sums);
        }
    }

    /// Finds the numbers of the rows' keys.
    fn number(&mut self, data: &[u8], rows: &[Entry]) {
        let Self { keys, numbers, known, .. } = self;
        numbers.clear();
        if keys.is_near() {
            numbers
                .extend(rows.iter().map(|row| keys.near_number(row.text(data), row.hash) as u32));
            return;
        }
        rows.iter().for_each(|row| keys.prefetch_slot(row.hash));
        known.clear();
        known.extend(rows.iter().map(|row| keys.known(row.hash)));
        known.iter().for_each(|known| keys.prefetch(*known));
        let all = rows.iter().zip(known);
        numbers.extend(
            all.map(|(row, known)| keys.number_of(row.text(data), row.hash, *known) as u32),
        );
    }

    /// Has what [`Groups::read`] will need of a key brought into the processor's cache: keys that are
    /// neighbours in their order are scattered in memory, and the processor can wait for many places at
    /// the same time.
    #[inline]
    pub(crate) fn prefetch(&self, key: u32) {
        let key = key as usize;
        self.keys.prefetch_key(key);
        self.table.prefetch(key);
    }

    /// Writes the key of this number and what belongs to it to `group`. `scratch` is overwritten.
    pub(crate) fn read(
        &self,
        key: usize,
        ranks: &DictRanks,
        group: &mut KeyGroup,
        scratch: &mut [Vec<u64>; 2],
    ) {
        group.clear();
        group.key.extend_from_slice(self.keys.key(key));
        self.table.read(key, ranks, group, scratch);
    }
}
