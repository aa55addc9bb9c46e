//! The different keys, each with a number, found by their bytes.

use std::hash::{BuildHasher, RandomState};

use csv_structure::prefetch;

use crate::text::{PADDING, Span, Text, padded};

/// The slots of an empty table.
const FIRST_SLOTS: usize = 64;
/// A table of up to so many slots stays in the processor's cache beside all else, so it may be mostly
/// empty: then nearly every key is found in the first slot, which the processor guesses.
const NEAR_SLOTS: usize = 32 << 10;

/// KeyTable in the order in which they were first seen.
#[derive(Debug)]
pub(crate) struct KeyTable {
    /// Makes the hashes of this process its own, so that no file can be made to collide.
    seed: u64,
    /// Open addressing: the upper half is the upper half of the hash, the lower half the number of
    /// the key from 1 on, or 0.
    slots: Vec<u64>,
    /// For each slot of a near table its key, if it is short: so it is known again at one look.
    near: Vec<Near>,
    /// By how much a hash is shifted to be the place of a slot.
    shift: u32,
    /// Where each key starts in `bytes`; it ends where the next one starts.
    starts: Vec<u32>,
    /// All keys, and [`PADDING`].
    bytes: Vec<u8>,
    /// A key that has none behind it.
    scratch: Vec<u8>,
}

/// A short key, or nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Near {
    /// See [`Text::short`].
    bytes: u128,
    length: u32,
    /// The number of the key from 1 on, or 0.
    number: u32,
}

/// A key and where its bytes are, or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// The number of the key from 1 on, or 0.
    number: u32,
    span: Span,
}

impl KeyTable {
    /// No keys. Where hashes are compared between several of these, `seed` must be the same one.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: vec![0; FIRST_SLOTS],
            near: vec![Near::default(); FIRST_SLOTS],
            shift: 64 - FIRST_SLOTS.ilog2(),
            starts: vec![0],
            bytes: vec![0; PADDING],
            scratch: Vec::new(),
        }
    }

    /// Reserves address space, so many bytes for each part, where the system lets it.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        // Without it they are only slower to grow.
        let _ = self.bytes.try_reserve(bytes);
        let _ = self.starts.try_reserve(bytes / size_of::<u32>());
    }

    /// A seed of this process.
    pub(crate) fn seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The memory that they take in bytes. What a `Vec` has reserved and not used is address space
    /// and no memory.
    pub(crate) fn memory(&self) -> usize {
        // While the slots are moved to twice as many, both are there.
        let slots = if self.len() * 2 > self.slots.len() { 3 } else { 1 } * self.slots.len();
        slots * size_of::<u64>()
            + self.near.len() * size_of::<Near>()
            + self.starts.len() * size_of::<u32>()
            + self.bytes.len()
    }

    /// Whether they are so few that they are in the processor's cache most of the time.
    #[inline]
    pub(crate) fn is_near(&self) -> bool {
        self.slots.len() <= NEAR_SLOTS
    }

    /// Whether no further keys of a chunk may fit the numbers that are kept of them.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() > (u32::MAX / 2) as usize
    }

    /// Where the key of this number stands.
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

    /// The key of this number.
    #[inline]
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        self.text(number).bytes()
    }

    /// The number of `key`, which is added where it is new.
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

    /// The number of `key`, if it is there.
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

    /// Has the slot that is the first for a key of this hash brought into the processor's cache.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        prefetch(&self.slots, (hash >> self.shift) as usize);
    }

    /// The first key that most likely has this hash.
    #[inline]
    pub(crate) fn known(&self, hash: u64) -> Known {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            let number = slot as u32;
            if number == 0 {
                return Known::default();
            }
            if slot >> 32 == hash >> 32 {
                return Known { number, span: self.span(number as usize - 1) };
            }
            at += 1;
        }
    }

    /// Has the bytes of the key brought into the processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, known: Known) {
        prefetch(&self.bytes, known.span.start());
        prefetch(&self.bytes, known.span.end());
    }

    /// Like [`KeyTable::prefetch`] for the key of this number.
    #[inline]
    pub(crate) fn prefetch_key(&self, number: usize) {
        self.prefetch(Known { number: 0, span: self.span(number) });
    }

    /// Like [`KeyTable::number`], for a key of which the hash is known, and most likely the key itself.
    #[inline(always)]
    pub(crate) fn number_of(&mut self, key: Text<'_>, hash: u64, known: Known) -> usize {
        let known_key = Text::new(&self.bytes, known.span);
        let same = known.number > 0 && known_key.same(key);
        if same { known.number as usize - 1 } else { self.number_by_hash(key, hash) }
    }

    /// Like [`KeyTable::number`], for a key of which the hash is known and most likely in the first slot of
    /// a near table, or in the next one.
    #[inline(always)]
    pub(crate) fn near_number(&mut self, key: Text<'_>, hash: u64) -> usize {
        let first = (hash >> self.shift) as usize;
        if let Some(near) = self.near.get(first..first + 2) {
            let short = key.short();
            for near in near {
                if near.number > 0 && short == Some((near.bytes, near.length)) {
                    return near.number as usize - 1;
                }
            }
        }
        self.number_by_hash(key, hash)
    }

    /// Like [`KeyTable::number`], for a key of which the hash is known.
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
        if let (Some(near), Some((bytes, length))) = (self.near.get_mut(at), key.short()) {
            *near = Near { bytes, length, number: number as u32 + 1 };
        }
        let filled = if self.is_near() { self.slots.len() / 16 } else { self.slots.len() / 8 * 5 };
        if self.len() > filled {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        #[expect(
            clippy::slow_vector_initialization,
            reason = "a page that is read first is one of zeros that all share, and the first write to it \
                      makes another one and interrupts all processors"
        )]
        let mut slots = Vec::with_capacity(length);
        slots.resize(length, 0);
        let old = std::mem::replace(&mut self.slots, slots);
        let near = if self.is_near() { vec![Near::default(); length] } else { Vec::new() };
        let old_near = std::mem::replace(&mut self.near, near);
        self.shift -= 1;
        let mask = length - 1;
        for (old_at, slot) in old.into_iter().enumerate().filter(|(_, slot)| *slot != 0) {
            // The upper half of the hash is as much as is needed below 2^32 slots.
            let mut at = (slot >> self.shift) as usize;
            while self.slots[at & mask] != 0 {
                at += 1;
            }
            self.slots[at & mask] = slot;
            if let (Some(near), Some(old)) = (self.near.get_mut(at & mask), old_near.get(old_at)) {
                *near = *old;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_keeps_its_number() {
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
