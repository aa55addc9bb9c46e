//! The groups and their sums, and how they are sorted.
//!
//! A group is one piece of the arena: its sums, the length of its key, and the key, which is each
//! field behind its length. So nothing is allocated for a row of a known group, the memory is known
//! to the byte, and dropping millions of groups takes no time.
//!
//! The table is split into shards: a table that grows moves all its entries, and small tables make
//! that pause, and the memory for it, small.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::Interrupted;
use super::arena::{Arena, Location};

const SHARDS: usize = 64;
/// A sum: an `i128`, which the rows of no file can overflow.
const SUM: usize = size_of::<i128>();
/// A length in front of a key or a field.
const LENGTH: usize = size_of::<u32>();
/// As many groups are sorted at once: a few milliseconds, between which an interrupt is seen.
const RUN: usize = 8 << 10;

/// Appends one field to the key of a group.
pub(super) fn push_field(key: &mut Vec<u8>, field: &[u8]) {
    // A field is no longer than a record, which is far below 4 GiB.
    key.extend_from_slice(&(field.len() as u32).to_ne_bytes());
    key.extend_from_slice(field);
}

/// An entry of the table.
struct Entry {
    hash: u64,
    at: Location,
}

/// The groups found so far.
pub(super) struct Groups {
    shards: Vec<HashTable<Entry>>,
    hasher: RandomState,
    arena: Arena,
    /// How many sums a group has.
    sums: usize,
    len: u64,
    /// The memory of the tables in bytes.
    tables: u64,
    /// What stands before the key of a new group.
    head: Vec<u8>,
}

impl Groups {
    pub(super) fn new(sums: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            hasher: RandomState::new(),
            arena: Arena::default(),
            sums,
            len: 0,
            tables: (SHARDS * size_of::<HashTable<Entry>>()) as u64,
            head: vec![0; sums * SUM + LENGTH],
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The memory in bytes that the groups take, with what sorting them will need.
    pub(super) fn memory(&self) -> u64 {
        self.arena.allocated() + self.tables + self.len * size_of::<Location>() as u64
    }

    /// Adds `values` to the sums of the group `key`, and returns whether memory had to be taken from
    /// the system: only now and then, and then it may have cost some milliseconds.
    pub(super) fn add(&mut self, key: &[u8], values: &[i64]) -> bool {
        let hash = self.hasher.hash_one(key);
        // Bits that the table itself does not look at.
        let shard = &mut self.shards[(hash >> 48) as usize % SHARDS];
        let at_key = self.sums * SUM;
        let same =
            |entry: &Entry| entry.hash == hash && key_of(&self.arena.at(entry.at)[at_key..]) == key;
        if let Some(entry) = shard.find(hash, same) {
            let sums = self.arena.at_mut(entry.at);
            for (sum, value) in sums.chunks_exact_mut(SUM).zip(values) {
                let total = read_sum(sum) + i128::from(*value);
                sum.copy_from_slice(&total.to_ne_bytes());
            }
            return false;
        }
        for (sum, value) in self.head.chunks_exact_mut(SUM).zip(values) {
            sum.copy_from_slice(&i128::from(*value).to_ne_bytes());
        }
        // As long as the fields of one record and a length for each.
        self.head[at_key..].copy_from_slice(&(key.len() as u32).to_ne_bytes());
        let before = self.arena.allocated() + self.tables;
        let at = self.arena.push([&self.head, key]);
        self.tables -= shard.allocation_size() as u64;
        shard.insert_unique(hash, Entry { hash, at }, |entry| entry.hash);
        self.tables += shard.allocation_size() as u64;
        self.len += 1;
        self.arena.allocated() + self.tables != before
    }

    /// Sorts the groups in runs, which [`Sorted::in_order`] merges.
    pub(super) fn sort(
        self,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> Result<Sorted, Interrupted> {
        let mut locations = Vec::with_capacity(self.len as usize);
        for shard in self.shards {
            checkpoint()?;
            locations.extend(shard.into_iter().map(|entry| entry.at));
        }
        let mut sorted = Sorted { arena: self.arena, locations: Vec::new(), sums: self.sums };
        for run in locations.chunks_mut(RUN) {
            checkpoint()?;
            run.sort_unstable_by(|a, b| sorted.group(*a).cmp(&sorted.group(*b)));
        }
        sorted.locations = locations;
        Ok(sorted)
    }
}

/// The groups in sorted runs.
pub(super) struct Sorted {
    arena: Arena,
    locations: Vec<Location>,
    sums: usize,
}

impl Sorted {
    /// The groups in no order.
    pub(super) fn in_any_order(&self) -> impl Iterator<Item = Group<'_>> {
        self.locations.iter().map(|location| self.group(*location))
    }

    /// The groups in byte order, column by column.
    pub(super) fn in_order(&self) -> impl Iterator<Item = Group<'_>> {
        let mut runs: BinaryHeap<_> = self
            .locations
            .chunks(RUN)
            .filter_map(|run| {
                let (first, rest) = run.split_first()?;
                Some(Reverse(Run { next: self.group(*first), rest }))
            })
            .collect();
        std::iter::from_fn(move || {
            let mut run = runs.peek_mut()?;
            match run.0.rest.split_first() {
                Some((first, rest)) => {
                    let next = Run { next: self.group(*first), rest };
                    Some(std::mem::replace(&mut run.0, next).next)
                }
                None => Some(PeekMut::pop(run).0.next),
            }
        })
    }

    fn group(&self, location: Location) -> Group<'_> {
        let (sums, key) = self.arena.at(location).split_at(self.sums * SUM);
        Group { sums, key: key_of(key) }
    }
}

/// A sorted run of which the first groups are taken.
struct Run<'a> {
    next: Group<'a>,
    rest: &'a [Location],
}

impl Ord for Run<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.next.cmp(&other.next)
    }
}

impl PartialOrd for Run<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Run<'_> {}

/// One group and its sums.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    sums: &'a [u8],
    key: &'a [u8],
}

impl<'a> Group<'a> {
    /// The values that make the group.
    pub(super) fn fields(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.key;
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let field;
            (field, rest) = behind.split_at(u32::from_ne_bytes(*length) as usize);
            Some(field)
        })
    }

    /// The sums, in the order of the columns.
    pub(super) fn sums(self) -> impl Iterator<Item = i128> {
        self.sums.chunks_exact(SUM).map(read_sum)
    }

    /// Compares the keys alone.
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.fields().cmp(other.fields())
    }
}

fn read_sum(bytes: &[u8]) -> i128 {
    bytes.first_chunk().map_or(0, |bytes| i128::from_ne_bytes(*bytes))
}

/// The key that `bytes` start with, behind its length.
fn key_of(bytes: &[u8]) -> &[u8] {
    match bytes.split_first_chunk() {
        Some((length, rest)) => &rest[..u32::from_ne_bytes(*length) as usize],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[&str]) -> Vec<u8> {
        let mut key = Vec::new();
        for field in fields {
            push_field(&mut key, field.as_bytes());
        }
        key
    }

    fn texts(group: Group<'_>) -> Vec<String> {
        group.fields().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect()
    }

    #[test]
    fn columns_are_compared_one_by_one() {
        let mut groups = Groups::new(1);
        // Joined by anything, the order or the groups themselves would differ.
        let rows = [["a,", "b"], ["a", ",b"], ["a", "b"], ["a\0", ""], ["", "ab"], ["a ", "a"]];
        for row in rows {
            groups.add(&key(&row), &[1]);
        }
        let sorted = groups.sort(&|| Ok(())).unwrap();
        let found: Vec<_> = sorted.in_order().map(texts).collect();
        let mut expected = rows.map(|row| row.map(str::to_owned).to_vec());
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn many_runs_are_merged_and_memory_is_accounted() {
        let mut groups = Groups::new(2);
        let count = 5 * RUN + 17;
        for round in 0..2 {
            for number in 0..count {
                // A stride that shuffles: it shares no divisor with the count.
                let number = number * 10_007 % count;
                let grew = groups.add(&key(&[&format!("{number:08}")]), &[number as i64, 1]);
                assert!(round == 0 || !grew);
            }
        }
        assert_eq!(groups.len(), count as u64);
        let least = count * (8 + 2 * LENGTH + 2 * SUM + size_of::<Entry>());
        assert!(groups.memory() > least as u64);
        assert!(groups.memory() < 2 * least as u64, "{} for {least}", groups.memory());

        let sorted = groups.sort(&|| Ok(())).unwrap();
        let mut expected = 0..count as i128;
        for group in sorted.in_order() {
            let number = expected.next().unwrap();
            assert_eq!(texts(group), [format!("{number:08}")]);
            assert_eq!(group.sums().collect::<Vec<_>>(), [2 * number, 2]);
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn sorting_can_be_interrupted() {
        let mut groups = Groups::new(1);
        groups.add(&key(&["a"]), &[1]);
        assert!(groups.sort(&|| Err(Interrupted)).is_err());
    }
}
