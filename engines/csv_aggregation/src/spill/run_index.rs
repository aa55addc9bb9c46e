//! A sparse index of a run, with which it can be read from any key on.
//!
//! An entry records a position between two groups by a bound: the shortest prefix of the key after
//! it that is greater than the key before it. As keys are sorted by their bytes, all keys before
//! the position are less than the bound, and none after it are. Readers therefore start at the
//! last entry whose bound is at most their first key, and end at the first entry whose bound is at
//! least the end of their range. A bound need not be a valid key: it may end within a column
//! ([`crate::group::key`]).
//!
//! # Invariants
//! - An index stays within about the memory that it is given, whatever the number of groups and the
//!   length of their keys. When it grows too large, every second entry is dropped, and the distance
//!   of further ones doubles.
//! - The start of a run has an entry.

/// How dense an index is, and how much memory it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexLimits {
    /// The distance of entries in bytes of the file. It grows when memory is short.
    pub(crate) every: u64,
    /// The memory of the entries in bytes. The first entry of a run is kept in any case.
    pub(crate) memory: usize,
}

/// The length of the longest bound. Keys with a longer common prefix get no entry between them.
const MAX_BOUND: usize = 256;
/// The memory of an entry beside its bound, in bytes: the entry, the overhead of the allocator, and
/// what sorting the bounds of all runs takes ([`crate::spill::ranges`]).
const ENTRY_SIZE: usize = size_of::<IndexEntry>() + 16 + size_of::<(&[u8], u64)>();

/// The index of a run.
#[derive(Debug)]
pub(crate) struct RunIndex {
    entries: Vec<IndexEntry>,
    every: u64,
    /// The memory of the entries in bytes.
    memory: usize,
}

#[derive(Debug)]
struct IndexEntry {
    bound: Box<[u8]>,
    at: u64,
}

impl RunIndex {
    /// An empty index with entries at least `every` bytes apart.
    pub(crate) fn new(every: u64) -> Self {
        Self { entries: Vec::new(), every, memory: 0 }
    }

    /// Notes that the group with the key `key` starts at `at`, and the one before it has the key
    /// `previous`. Adds an entry between them if the last one is far enough away. The index may
    /// take `memory` bytes.
    pub(crate) fn add(&mut self, previous: Option<&[u8]>, key: &[u8], at: u64, memory: usize) {
        if self.entries.last().is_some_and(|last| at - last.at < self.every) {
            return;
        }
        let Some(bound) = bound(previous, key) else { return };
        self.memory += ENTRY_SIZE + bound.len();
        self.entries.push(IndexEntry { bound: bound.into(), at });
        while self.memory > memory && self.thin() {}
    }

    /// Drops every second entry. Returns false if there was only the first one.
    pub(crate) fn thin(&mut self) -> bool {
        let any = self.entries.len() > 1;
        let mut keep = false;
        self.entries.retain(|_| {
            keep = !keep;
            keep
        });
        self.entries.shrink_to_fit();
        self.memory = self.entries.iter().map(|entry| ENTRY_SIZE + entry.bound.len()).sum();
        self.every *= 2;
        any
    }

    /// The memory of the entries in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The least distance of two entries in bytes.
    pub(crate) fn every(&self) -> u64 {
        self.every
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The position from which to read all keys from `from` on. `None` means the start of the run.
    pub(crate) fn start(&self, from: &[u8]) -> Option<u64> {
        let next = self.entries.partition_point(|entry| *entry.bound <= *from);
        next.checked_sub(1).map(|last| self.entries[last].at)
    }

    /// The position up to which to read all keys before `to`. `None` means the end of the run.
    pub(crate) fn end(&self, to: &[u8]) -> Option<u64> {
        let next = self.entries.partition_point(|entry| *entry.bound < *to);
        self.entries.get(next).map(|entry| entry.at)
    }

    /// The bounds, each with the number of bytes to the next entry or to `end`.
    pub(crate) fn bounds(&self, end: u64) -> impl Iterator<Item = (&[u8], u64)> {
        let ends = self.entries.iter().skip(1).map(|entry| entry.at).chain([end]);
        self.entries.iter().zip(ends).map(|(entry, end)| (&*entry.bound, end - entry.at))
    }
}

/// The shortest prefix of `key` that is greater than `previous`, which is less than `key`. `None`
/// if it is too long. Without `previous`, any prefix will do.
fn bound<'a>(previous: Option<&[u8]>, key: &'a [u8]) -> Option<&'a [u8]> {
    let Some(previous) = previous else {
        return Some(&key[..key.len().min(MAX_BOUND)]);
    };
    let common = previous.iter().zip(key).take(MAX_BOUND).take_while(|(a, b)| a == b).count();
    // If `previous` is a prefix of `key`, one more byte makes it greater.
    key.get(..=common).filter(|bound| bound.len() <= MAX_BOUND)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bound_separates_adjacent_keys(
            keys in proptest::collection::btree_set("[\0\u{1}ab]{0,6}", 2..40),
            other in "[\0\u{1}ab]{0,6}",
        ) {
            let keys: Vec<_> = keys.iter().map(String::as_bytes).collect();
            for (index, pair) in keys.windows(2).enumerate() {
                let bound = bound(Some(pair[0]), pair[1]).unwrap();
                prop_assert!(keys[..=index].iter().all(|key| *key < bound));
                prop_assert!(keys[index + 1..].iter().all(|key| *key >= bound));
                // For any range limit, no wanted key lies on the wrong side.
                let other = other.as_bytes();
                if bound <= other {
                    prop_assert!(pair[0] < other);
                } else if bound >= other {
                    prop_assert!(pair[1] >= other);
                }
            }
        }

        #[test]
        fn readers_miss_no_key_of_their_range(
            keys in proptest::collection::btree_set("[\0\u{1}ab]{0,6}", 1..60),
            ends in proptest::array::uniform2("[\0\u{1}ab]{0,6}"),
            every in 1..40_u64,
            memory in 0..3_000_usize,
        ) {
            let ends: BTreeSet<_> = ends.into_iter().collect();
            let (Some(from), Some(to)) = (ends.first(), ends.last()) else { unreachable!() };
            let mut index = RunIndex::new(every);
            let mut previous: Option<&String> = None;
            for (at, key) in (0..).step_by(10).zip(&keys) {
                index.add(previous.map(String::as_bytes), key.as_bytes(), at, memory);
                previous = Some(key);
            }
            let size = keys.len() as u64 * 10;
            let start = index.start(from.as_bytes()).unwrap_or(0);
            let end = index.end(to.as_bytes()).unwrap_or(size);
            let wanted = (0..).step_by(10).zip(&keys).filter(|(_, key)| (from..to).contains(key));
            for (at, _) in wanted {
                prop_assert!(start <= at && at < end);
            }
            prop_assert_eq!(index.bounds(size).map(|(_, bytes)| bytes).sum::<u64>(), size);
            prop_assert!(index.memory() <= memory || index.len() == 1);
        }
    }

    #[test]
    fn keys_longer_than_the_index_distance_take_bounded_memory() {
        const MEMORY: usize = 10_000;
        let mut index = RunIndex::new(16 << 10);
        let mut previous: Option<Vec<u8>> = None;
        for number in 0..5_000_u64 {
            let key = [number.to_be_bytes().to_vec(), vec![b'x'; 20_000]].concat();
            index.add(previous.as_deref(), &key, number * 20_000, MEMORY);
            assert!(index.memory() <= MEMORY);
            previous = Some(key);
        }
        assert!(index.len() > 50, "{}", index.len());
        let distances: Vec<_> = index.bounds(5_000 * 20_000).map(|(_, bytes)| bytes).collect();
        assert!(distances.iter().all(|bytes| *bytes <= 2 * index.every()), "{distances:?}");
    }

    #[test]
    fn keys_with_a_long_common_prefix_get_no_entry() {
        let mut index = RunIndex::new(1);
        let start = "x".repeat(MAX_BOUND);
        index.add(None, start.as_bytes(), 0, usize::MAX);
        index.add(Some(start.as_bytes()), format!("{start}a").as_bytes(), 300, usize::MAX);
        assert_eq!(index.len(), 1);
        index.add(Some(format!("{start}a").as_bytes()), b"y", 600, usize::MAX);
        assert_eq!(index.len(), 2);
    }
}
