//! Groups and their sums: a table of keys beside a table of sums by key number.

use crate::group::dict_ranks::DictRanks;
use crate::group::entry::{BATCH, Entry};
use crate::group::key_group::KeyGroup;
use crate::group::key_table::{Candidate, KeyTable};
use crate::group::sums::Sums;

/// The address space in bytes that is reserved for each vector. It is above 32 MiB, the largest
/// mmap threshold of glibc (`DEFAULT_MMAP_THRESHOLD_MAX`), so freed vectors are always returned to
/// the system.
const RESERVED: usize = 40 << 20;
/// The memory in bytes that sorting needs per key.
const SORTING: usize = size_of::<u64>();

/// Groups and their sums.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) keys: KeyTable,
    table: Sums,
    /// The number of sums of a group.
    sums: usize,
    /// The key candidates of the current batch, and the numbers of its keys. Kept for their
    /// capacity.
    candidates: Vec<Candidate>,
    numbers: Vec<u32>,
}

impl Groups {
    /// No groups, with `sums` sums each. `has_dict` tells whether the last column is
    /// dictionary-encoded. `seed` is the seed of the key hashes.
    pub(crate) fn new(sums: usize, has_dict: bool, seed: u64) -> Self {
        Self {
            keys: KeyTable::new(seed),
            table: Sums::new(sums, has_dict),
            sums,
            candidates: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Reserves address space for many groups, which takes no memory until it is used. Vectors then
    /// grow without copies, and freed memory is returned to the system immediately, while smaller
    /// blocks would stay in the allocator.
    pub(crate) fn reserve(&mut self) {
        self.keys.reserve(RESERVED);
        self.table.reserve(RESERVED);
    }

    /// Whether the groups of another chunk might exceed the 32-bit positions of the tables.
    pub(crate) fn is_full(&self) -> bool {
        self.keys.is_full() || self.table.is_full()
    }

    /// The memory of the groups in bytes, including what sorting them will need.
    pub(crate) fn memory(&self) -> u64 {
        (self.keys.memory() + self.table.memory() + self.keys.len() * SORTING) as u64
    }

    /// Adds `values` to the sums of a group. `dict_len` is the current number of dictionary ids.
    pub(crate) fn add(&mut self, key: &[u8], dict_id: u32, dict_len: usize, values: &[i64]) {
        let key = self.keys.number(key);
        self.table.add(key, dict_id, dict_len, values);
    }

    /// Adds rows whose keys are spans of `data`. `dict_len` is the current number of dictionary
    /// ids.
    ///
    /// Each step is done for a whole batch before the next step: rows do not depend on each other,
    /// so their cache misses overlap.
    pub(crate) fn add_all(&mut self, data: &[u8], rows: &[Entry], dict_len: usize, values: &[i64]) {
        let values = values.chunks(BATCH * self.sums);
        for (rows, values) in rows.chunks(BATCH).zip(values) {
            self.number_keys(data, rows);
            self.table.add_all(rows, &self.numbers, dict_len, values, self.sums);
        }
    }

    /// Finds or adds the keys of the rows and stores their numbers.
    fn number_keys(&mut self, data: &[u8], rows: &[Entry]) {
        let Self { keys, numbers, candidates, .. } = self;
        numbers.clear();
        if keys.is_near() {
            numbers
                .extend(rows.iter().map(|row| keys.near_number(row.text(data), row.hash) as u32));
            return;
        }
        rows.iter().for_each(|row| keys.prefetch_slot(row.hash));
        candidates.clear();
        candidates.extend(rows.iter().map(|row| keys.candidate(row.hash)));
        candidates.iter().for_each(|candidate| keys.prefetch(*candidate));
        let all = rows.iter().zip(candidates);
        numbers.extend(
            all.map(|(row, candidate)| keys.number_of(row.text(data), row.hash, *candidate) as u32),
        );
    }

    /// Prefetches what [`Groups::read`] needs of a key. Keys in sort order are scattered in memory;
    /// prefetching several of them overlaps their cache misses.
    #[inline]
    pub(crate) fn prefetch(&self, key: u32) {
        let key = key as usize;
        self.keys.prefetch_key(key);
        self.table.prefetch(key);
    }

    /// Stores the key with this number, its codes and its sums in `group`. `scratch` is
    /// overwritten.
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
