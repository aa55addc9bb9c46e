//! Where some of the keys of a run stand in its file, so that it can be read from any key on.
//!
//! A mark stands between two groups and is told by a bound: the shortest start of the key behind it
//! that is greater than the key before it. KeyTable are sorted by their bytes, so every key before the
//! mark is less than the bound and no key behind it is. That is all that readers need of it: they
//! start at the last mark whose bound is not greater than the first key that they want, and end at
//! the first one whose bound is not less than the first key that they do not want. A bound need not
//! be a key: it may end within a column of a key of several ([`crate::group::key`]).
//!
//! # Invariants
//! - RunIndex take about as much memory as they may at most, whatever the number of groups and the
//!   length of their keys: where there are too many, every second one goes and others follow half
//!   as often.
//! - The start of a run has a mark.

/// How close marks stand and how much they take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexLimits {
    /// A mark follows the one before after as many bytes, or after more where memory is short.
    pub(crate) every: u64,
    /// How much memory in bytes they may take. The first mark of a run stays whatever it takes.
    pub(crate) memory: usize,
}

/// A bound takes as many bytes at most: between keys that start with as many equal ones is no mark.
const LONGEST_BOUND: usize = 256;
/// What a mark takes beside its bound in bytes: itself, what the allocator adds, and what sorting
/// it with those of other runs takes ([`crate::spill::ranges`]).
const OF_EACH: usize = size_of::<IndexEntry>() + 16 + size_of::<(&[u8], u64)>();

/// The marks of a run.
#[derive(Debug)]
pub(crate) struct RunIndex {
    all: Vec<IndexEntry>,
    every: u64,
    /// What they take in bytes.
    memory: usize,
}

#[derive(Debug)]
struct IndexEntry {
    bound: Box<[u8]>,
    at: u64,
}

impl RunIndex {
    /// None yet.
    pub(crate) fn new(every: u64) -> Self {
        Self { all: Vec::new(), every, memory: 0 }
    }

    /// The group with the key `key` stands at `at`, behind the one with the key `before`, if there
    /// is one. A mark is made between them where it is time for one.
    pub(crate) fn add(&mut self, before: Option<&[u8]>, key: &[u8], at: u64, memory: usize) {
        if self.all.last().is_some_and(|last| at - last.at < self.every) {
            return;
        }
        let Some(bound) = bound(before, key) else { return };
        self.memory += OF_EACH + bound.len();
        self.all.push(IndexEntry { bound: bound.into(), at });
        while self.memory > memory && self.thin() {}
    }

    /// Leaves out every second mark; false where there is only the first one.
    pub(crate) fn thin(&mut self) -> bool {
        let any = self.all.len() > 1;
        let mut stays = false;
        self.all.retain(|_| {
            stays = !stays;
            stays
        });
        self.all.shrink_to_fit();
        self.memory = self.all.iter().map(|mark| OF_EACH + mark.bound.len()).sum();
        self.every *= 2;
        any
    }

    /// The memory that they take in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// How many bytes lie between two marks at least.
    pub(crate) fn every(&self) -> u64 {
        self.every
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Where to start to read all keys from `from` on; at the start of the run where it says
    /// nothing.
    pub(crate) fn start(&self, from: &[u8]) -> Option<u64> {
        let behind = self.all.partition_point(|mark| *mark.bound <= *from);
        behind.checked_sub(1).map(|mark| self.all[mark].at)
    }

    /// Where to end to read all keys before `to`; at the end of the run where it says nothing.
    pub(crate) fn end(&self, to: &[u8]) -> Option<u64> {
        let behind = self.all.partition_point(|mark| *mark.bound < *to);
        self.all.get(behind).map(|mark| mark.at)
    }

    /// The bounds, each with the bytes from its mark to the next one, or to `end`.
    pub(crate) fn bounds(&self, end: u64) -> impl Iterator<Item = (&[u8], u64)> {
        let ends = self.all.iter().skip(1).map(|mark| mark.at).chain([end]);
        self.all.iter().zip(ends).map(|(mark, end)| (&*mark.bound, end - mark.at))
    }
}

/// The shortest start of `key` that is greater than `before`, which is less than `key`; `None`
/// where it is too long. The start of a key that has none before it.
fn bound<'a>(before: Option<&[u8]>, key: &'a [u8]) -> Option<&'a [u8]> {
    let Some(before) = before else {
        return Some(&key[..key.len().min(LONGEST_BOUND)]);
    };
    let common = before.iter().zip(key).take(LONGEST_BOUND).take_while(|(a, b)| a == b).count();
    // Where all of `before` is in common, the next byte makes it greater.
    key.get(..=common).filter(|bound| bound.len() <= LONGEST_BOUND)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bound_separates_the_keys_before_it_from_those_behind(
            keys in proptest::collection::btree_set("[\0\u{1}ab]{0,6}", 2..40),
            other in "[\0\u{1}ab]{0,6}",
        ) {
            let keys: Vec<_> = keys.iter().map(String::as_bytes).collect();
            for (index, pair) in keys.windows(2).enumerate() {
                let bound = bound(Some(pair[0]), pair[1]).unwrap();
                prop_assert!(keys[..=index].iter().all(|key| *key < bound));
                prop_assert!(keys[index + 1..].iter().all(|key| *key >= bound));
                // Whatever key is asked for, nothing that is wanted lies on the other side.
                let other = other.as_bytes();
                if bound <= other {
                    prop_assert!(pair[0] < other);
                } else if bound >= other {
                    prop_assert!(pair[1] >= other);
                }
            }
        }

        #[test]
        fn readers_start_and_end_where_nothing_is_missed(
            keys in proptest::collection::btree_set("[\0\u{1}ab]{0,6}", 1..60),
            ends in proptest::array::uniform2("[\0\u{1}ab]{0,6}"),
            every in 1..40_u64,
            memory in 0..3_000_usize,
        ) {
            let ends: BTreeSet<_> = ends.into_iter().collect();
            let (Some(from), Some(to)) = (ends.first(), ends.last()) else { unreachable!() };
            let mut marks = RunIndex::new(every);
            let mut before: Option<&String> = None;
            for (at, key) in (0..).step_by(10).zip(&keys) {
                marks.add(before.map(String::as_bytes), key.as_bytes(), at, memory);
                before = Some(key);
            }
            let size = keys.len() as u64 * 10;
            let start = marks.start(from.as_bytes()).unwrap_or(0);
            let end = marks.end(to.as_bytes()).unwrap_or(size);
            let wanted = (0..).step_by(10).zip(&keys).filter(|(_, key)| (from..to).contains(key));
            for (at, _) in wanted {
                prop_assert!(start <= at && at < end);
            }
            prop_assert_eq!(marks.bounds(size).map(|(_, bytes)| bytes).sum::<u64>(), size);
            prop_assert!(marks.memory() <= memory || marks.len() == 1);
        }
    }

    #[test]
    fn keys_that_are_longer_than_marks_are_apart_take_no_more_than_they_may() {
        const MEMORY: usize = 10_000;
        let mut marks = RunIndex::new(16 << 10);
        let mut before: Option<Vec<u8>> = None;
        for number in 0..5_000_u64 {
            let key = [number.to_be_bytes().to_vec(), vec![b'x'; 20_000]].concat();
            marks.add(before.as_deref(), &key, number * 20_000, MEMORY);
            assert!(marks.memory() <= MEMORY);
            before = Some(key);
        }
        assert!(marks.len() > 50, "{}", marks.len());
        let distances: Vec<_> = marks.bounds(5_000 * 20_000).map(|(_, bytes)| bytes).collect();
        assert!(distances.iter().all(|bytes| *bytes <= 2 * marks.every()), "{distances:?}");
    }

    #[test]
    fn keys_with_a_long_start_in_common_get_no_marks() {
        let mut marks = RunIndex::new(1);
        let start = "x".repeat(LONGEST_BOUND);
        marks.add(None, start.as_bytes(), 0, usize::MAX);
        marks.add(Some(start.as_bytes()), format!("{start}a").as_bytes(), 300, usize::MAX);
        assert_eq!(marks.len(), 1);
        marks.add(Some(format!("{start}a").as_bytes()), b"y", 600, usize::MAX);
        assert_eq!(marks.len(), 2);
    }
}
