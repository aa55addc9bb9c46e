//! A hash table that numbers distinct keys in the order in which they were added.

use std::hash::{BuildHasher, RandomState};

use csv_structure::prefetch;

use crate::text::{PADDING, Span, Text, padded};

/// The number of slots of an empty table.
const FIRST_SLOTS: usize = 64;
/// The largest number of slots of a *near* table, one that stays in the core's cache. It can afford
/// a low load factor: nearly every key is then in its first slot, so the branches are predicted.
const NEAR_SLOTS: usize = 32 << 10;

/// Distinct keys, numbered in the order in which they were added.
#[derive(Debug)]
pub(crate) struct KeyTable {
    /// A random seed per process, so that input cannot be crafted to collide.
    seed: u64,
    /// Open addressing with linear probing. The upper half of a slot is the upper half of the hash,
    /// the lower half the number of the key plus 1, or 0 in an empty slot.
    slots: Vec<u64>,
    /// The short keys of a near table, by slot. Comparing them here saves a load from `bytes`.
    /// Empty in larger tables.
    short_keys: Vec<ShortKey>,
    /// The right shift that turns a hash into the index of its first slot.
    shift: u32,
    /// Where each key starts in `bytes`. It ends where the next one starts.
    starts: Vec<u32>,
    /// All keys, then [`PADDING`].
    bytes: Vec<u8>,
    /// A copy of a key that has no padding.
    scratch: Vec<u8>,
}

/// A key of up to sixteen bytes, or none.
#[derive(Debug, Clone, Copy, Default)]
struct ShortKey {
    /// See [`Text::short`].
    bytes: u128,
    length: u32,
    /// The number of the key plus 1, or 0 if there is none.
    number: u32,
}

/// The key that most likely has a certain hash, or none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidate {
    /// The number of the key plus 1, or 0 if there is none.
    number: u32,
    span: Span,
}

impl KeyTable {
    /// An empty table. Tables whose hashes are compared must have the same `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: vec![0; FIRST_SLOTS],
            short_keys: vec![ShortKey::default(); FIRST_SLOTS],
            shift: 64 - FIRST_SLOTS.ilog2(),
            starts: vec![0],
            bytes: vec![0; PADDING],
            scratch: Vec::new(),
        }
    }

    /// Reserves `bytes` of address space for each vector, if the system permits it.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        // A failure only makes growing slower.
        let _ = self.bytes.try_reserve(bytes);
        let _ = self.starts.try_reserve(bytes / size_of::<u32>());
    }

    /// A random seed.
    pub(crate) fn seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The memory of the table in bytes. Unused capacity of a `Vec` is address space, not memory.
    pub(crate) fn memory(&self) -> usize {
        // While the table grows to twice as many slots, the old ones exist too.
        let slots = if self.len() * 2 > self.slots.len() { 3 } else { 1 } * self.slots.len();
        slots * size_of::<u64>()
            + self.short_keys.len() * size_of::<ShortKey>()
            + self.starts.len() * size_of::<u32>()
            + self.bytes.len()
    }

    /// Whether the table is small enough to stay in the core's cache.
    #[inline]
    pub(crate) fn is_near(&self) -> bool {
        self.slots.len() <= NEAR_SLOTS
    }

    /// Whether the keys of another chunk might exceed the 32-bit positions.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() > (u32::MAX / 2) as usize
    }

    /// The span in `bytes` of the key with this number.
    #[inline(always)]
    fn span(&self, number: usize) -> Span {
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => Span::new(start as usize, end as usize),
            _ => Span::default(),
        }
    }

    #[inline(always)]
    fn text(&self, number: usize) -> Text<'_> {
        Text::new(&self.bytes, self.span(number))
    }

    /// The key with this number.
    #[inline]
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        self.text(number).bytes()
    }

    /// The number of `key`, which is added if it is new.
    pub(crate) fn number(&mut self, key: &[u8]) -> usize {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(key);
        scratch.extend_from_slice(&[0; PADDING]);
        let text = Text::new(&scratch, Span::new(0, key.len()));
        let number = self.number_by_hash(text, text.hash(self.seed));
        self.scratch = scratch;
        number
    }

    /// The number of `key`, if the table contains it.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let padded = padded(key);
        let text = Text::new(&padded, Span::new(0, key.len()));
        let hash = text.hash(self.seed);
        let mask = self.slots.len() - 1;
        let first = (hash >> self.shift) as usize;
        let slots = (first..).map(|at| self.slots[at & mask]).take_while(|slot| *slot as u32 != 0);
        let mut numbers = slots.map(|slot| (slot as u32 - 1) as usize);
        numbers.find(|number| self.text(*number).same(text))
    }

    /// Prefetches the first slot of keys with this hash.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        prefetch(&self.slots, (hash >> self.shift) as usize);
    }

    /// The first key with the same upper half of the hash.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Candidate {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            let number = slot as u32;
            if number == 0 {
                return Candidate::default();
            }
            if slot >> 32 == hash >> 32 {
                return Candidate { number, span: self.span(number as usize - 1) };
            }
            at += 1;
        }
    }

    /// Prefetches the bytes of the candidate.
    #[inline]
    pub(crate) fn prefetch(&self, candidate: Candidate) {
        prefetch(&self.bytes, candidate.span.start());
        prefetch(&self.bytes, candidate.span.end());
    }

    /// Prefetches the bytes of the key with this number.
    #[inline]
    pub(crate) fn prefetch_key(&self, number: usize) {
        self.prefetch(Candidate { number: 0, span: self.span(number) });
    }

    /// Like [`KeyTable::number`], given the hash of the key and its [`KeyTable::candidate`], which
    /// is compared first.
    #[inline(always)]
    pub(crate) fn number_of(&mut self, key: Text<'_>, hash: u64, candidate: Candidate) -> usize {
        let candidate_key = Text::new(&self.bytes, candidate.span);
        let same = candidate.number > 0 && candidate_key.same(key);
        if same { candidate.number as usize - 1 } else { self.number_by_hash(key, hash) }
    }

    /// Like [`KeyTable::number`], given the hash. Fast for short keys in the first two slots of a
    /// near table, which nearly all keys are.
    #[inline(always)]
    pub(crate) fn near_number(&mut self, key: Text<'_>, hash: u64) -> usize {
        let first = (hash >> self.shift) as usize;
        if let Some(entries) = self.short_keys.get(first..first + 2) {
            let short = key.short();
            for entry in entries {
                if entry.number > 0 && short == Some((entry.bytes, entry.length)) {
                    return entry.number as usize - 1;
                }
            }
        }
        self.number_by_hash(key, hash)
    }

    /// Like [`KeyTable::number`], given the hash.
    #[inline(never)]
    fn number_by_hash(&mut self, key: Text<'_>, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            if slot as u32 == 0 {
                return self.add(key, hash, at & mask);
            }
            if slot >> 32 == hash >> 32 {
                let number = (slot as u32 - 1) as usize;
                if self.text(number).same(key) {
                    return number;
                }
            }
            at += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, key: Text<'_>, hash: u64, at: usize) -> usize {
        let number = self.len();
        self.bytes.truncate(self.bytes.len() - PADDING);
        self.bytes.extend_from_slice(key.bytes());
        self.starts.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(&[0; PADDING]);
        self.slots[at] = hash >> 32 << 32 | (number as u64 + 1);
        if let (Some(entry), Some((bytes, length))) = (self.short_keys.get_mut(at), key.short()) {
            *entry = ShortKey { bytes, length, number: number as u32 + 1 };
        }
        let max_keys =
            if self.is_near() { self.slots.len() / 16 } else { self.slots.len() / 8 * 5 };
        if self.len() > max_keys {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        #[expect(
            clippy::slow_vector_initialization,
            reason = "a page whose first access is a read maps the shared zero page, and the first \
                      write to it then replaces the mapping and interrupts all processors"
        )]
        let mut slots = Vec::with_capacity(length);
        slots.resize(length, 0);
        let old = std::mem::replace(&mut self.slots, slots);
        let short_keys = if self.is_near() { vec![ShortKey::default(); length] } else { vec![] };
        let old_short_keys = std::mem::replace(&mut self.short_keys, short_keys);
        self.shift -= 1;
        let mask = length - 1;
        for (old_at, slot) in old.into_iter().enumerate().filter(|(_, slot)| *slot != 0) {
            // The upper half of the hash suffices for up to 2^32 slots.
            let mut at = (slot >> self.shift) as usize;
            while self.slots[at & mask] != 0 {
                at += 1;
            }
            self.slots[at & mask] = slot;
            if let (Some(entry), Some(old)) =
                (self.short_keys.get_mut(at & mask), old_short_keys.get(old_at))
            {
                *entry = *old;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_in_insertion_order() {
        let mut keys = KeyTable::new(KeyTable::seed());
        let texts: Vec<_> = (0..3_000_usize)
            .map(|n| format!("{}{n}", "x".repeat(n % 40)).into_bytes())
            .chain((0..30).map(|length| vec![0; length]))
            .collect();
        for round in 0..2 {
            for (number, key) in texts.iter().enumerate() {
                assert_eq!(keys.find(key), (round > 0).then_some(number));
                assert_eq!(keys.number(key), number);
                assert_eq!(keys.key(number), key);
            }
        }
        assert_eq!(keys.len(), texts.len());
        assert!(keys.memory() > texts.concat().len());
    }
}
