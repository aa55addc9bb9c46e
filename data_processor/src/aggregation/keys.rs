//! The different keys, each with a number, found by their bytes.

use std::hash::{BuildHasher, RandomState};

/// Half of the bits of this one are set, in no pattern.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
/// The slots of an empty table.
const FIRST_SLOTS: usize = 64;
/// A table of up to so many slots stays in the processor's cache beside all else, so it may be mostly
/// empty: then nearly every key is found in the first slot, which the processor guesses.
const NEAR_SLOTS: usize = 16 << 10;

/// Keys in the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Keys {
    /// Makes the hashes of this process its own, so that no file can be made to collide.
    seed: u64,
    /// Open addressing: the upper half is the upper half of the hash, the lower half the number of
    /// the key from 1 on, or 0.
    slots: Vec<u64>,
    /// By how much a hash is shifted to be the place of a slot.
    shift: u32,
    /// Where each key ends in `bytes`; it starts where the one before ends.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// A key and where its bytes are, or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// The number of the key from 1 on, or 0.
    number: u32,
    start: u32,
    end: u32,
}

impl Keys {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(MULTIPLIER);
        let mut keys =
            Self { seed, slots: Vec::new(), shift: 0, ends: Vec::new(), bytes: Vec::new() };
        keys.clear();
        keys
    }

    /// Forgets all keys and keeps their memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.slots.resize(FIRST_SLOTS, 0);
        self.shift = 64 - FIRST_SLOTS.ilog2();
        self.ends.clear();
        self.bytes.clear();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The memory that they take in bytes. What a `Vec` has reserved and not used is address space
    /// and no memory.
    pub(super) fn memory(&self) -> usize {
        // While the slots are moved to twice as many, both are there.
        let slots = if self.ends.len() * 2 > self.slots.len() { 3 } else { 1 } * self.slots.len();
        slots * size_of::<u64>() + self.ends.len() * size_of::<u32>() + self.bytes.len()
    }

    /// Whether they are so few that they are in the processor's cache most of the time.
    #[inline]
    pub(super) fn is_near(&self) -> bool {
        self.slots.len() <= NEAR_SLOTS
    }

    /// Whether no further keys of a chunk may fit the numbers that are kept of them.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() > (u32::MAX / 2) as usize
    }

    /// The key of this number.
    #[inline]
    pub(super) fn key(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    /// The number of `key`, which is added where it is new.
    #[inline]
    pub(super) fn number(&mut self, key: &[u8]) -> usize {
        let hash = self.hash(key);
        self.number_by_hash(key, hash)
    }

    #[inline(always)]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        hash(self.seed, key)
    }

    /// Looks at the slot that is the first for a key of this hash, so that it is in the processor's
    /// cache when it is read.
    #[inline]
    pub(super) fn touch_slot(&self, hash: u64) -> u64 {
        self.slots[(hash >> self.shift) as usize & (self.slots.len() - 1)]
    }

    /// The first key that most likely has this hash.
    #[inline]
    pub(super) fn known(&self, hash: u64) -> Known {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            let number = slot as u32;
            if number == 0 {
                return Known::default();
            }
            if slot >> 32 == hash >> 32 {
                let index = number as usize - 1;
                let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
                return Known { number, start, end: self.ends[index] };
            }
            at += 1;
        }
    }

    /// Looks at the bytes of the key, so that they are in the processor's cache when they are read.
    #[inline]
    pub(super) fn touch(&self, known: Known) -> u8 {
        let byte = |at: u32| self.bytes.get(at as usize).copied().unwrap_or_default();
        byte(known.start) ^ byte(known.end)
    }

    /// Like [`Keys::touch`] for the key of this number.
    #[inline]
    pub(super) fn touch_key(&self, number: usize) -> u8 {
        let key = self.key(number);
        key.first().copied().unwrap_or_default() ^ key.last().copied().unwrap_or_default()
    }

    /// Like [`Keys::number`], for a key of which the hash is known, and most likely the key itself.
    #[inline]
    pub(super) fn number_of(&mut self, key: &[u8], hash: u64, known: Known) -> usize {
        let same_key =
            known.number > 0 && same(&self.bytes[known.start as usize..known.end as usize], key);
        if same_key { known.number as usize - 1 } else { self.number_by_hash(key, hash) }
    }

    /// Like [`Keys::number`], for a key of which the hash is known and most likely in the first slot.
    #[inline(always)]
    pub(super) fn near_number(&mut self, key: &[u8], hash: u64) -> usize {
        let slot = self.slots[(hash >> self.shift) as usize & (self.slots.len() - 1)];
        if slot >> 32 == hash >> 32
            && let Some(number) = (slot as u32 as usize).checked_sub(1)
            && same(self.key(number), key)
        {
            return number;
        }
        self.number_by_hash(key, hash)
    }

    /// Like [`Keys::number`], for a key of which the hash is known.
    #[inline(never)]
    pub(super) fn number_by_hash(&mut self, key: &[u8], hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            if slot as u32 == 0 {
                return self.add(key, hash, at & mask);
            }
            if slot >> 32 == hash >> 32 {
                let number = (slot as u32 - 1) as usize;
                if same(self.key(number), key) {
                    return number;
                }
            }
            at += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, key: &[u8], hash: u64, at: usize) -> usize {
        let number = self.ends.len();
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
        self.slots[at] = hash >> 32 << 32 | (number as u64 + 1);
        let filled = if self.is_near() { self.slots.len() / 8 } else { self.slots.len() / 8 * 5 };
        if self.ends.len() > filled {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![0; length]);
        self.shift -= 1;
        let mask = length - 1;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            // The upper half of the hash is as much as is needed below 2^32 slots.
            let mut at = (slot >> self.shift) as usize;
            while self.slots[at & mask] != 0 {
                at += 1;
            }
            self.slots[at & mask] = slot;
        }
    }
}

/// A folded multiplication per eight bytes: each bit of the key reaches the upper half.
#[inline(always)]
fn hash(seed: u64, key: &[u8]) -> u64 {
    let mut state = seed ^ key.len() as u64;
    let mut rest = key;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        state = fold(state ^ u64::from_le_bytes(*word));
        rest = behind;
    }
    if !rest.is_empty() {
        state = fold(state ^ tail(key, rest));
    }
    fold(state)
}

/// The last bytes of a key as a number. Where there are eight in the key, those before are taken
/// too: that is one load instead of a loop.
#[inline]
fn tail(key: &[u8], rest: &[u8]) -> u64 {
    if let Some(last) = key.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[inline]
fn fold(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(MULTIPLIER);
    (product >> 64) as u64 ^ product as u64
}

/// Whether the keys are equal; most are so short that a call of `memcmp` would cost more.
#[inline(always)]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(last_a), Some(last_b)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) else {
        return tail(a, a) == tail(b, b);
    };
    let (words_a, _) = a.as_chunks::<8>();
    let (words_b, _) = b.as_chunks::<8>();
    words_a.iter().zip(words_b).all(|(a, b)| a == b) && last_a == last_b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_keeps_its_number() {
        let mut keys = Keys::new();
        let texts: Vec<_> = (0..3_000_usize)
            .map(|n| format!("{}{n}", "x".repeat(n % 40)).into_bytes())
            .chain((0..30).map(|length| vec![0; length]))
            .collect();
        for round in 0..3 {
            for _ in 0..2 {
                for (number, key) in texts.iter().enumerate() {
                    assert_eq!(keys.number(key), number, "{round}");
                    assert_eq!(keys.key(number), key);
                }
            }
            assert_eq!(keys.len(), texts.len());
            assert!(keys.memory() > texts.concat().len());
            keys.clear();
            assert_eq!(keys.len(), 0);
        }
    }

    #[test]
    fn keys_are_the_same_only_byte_by_byte() {
        for length in 0..40 {
            let key = vec![7; length];
            assert!(same(&key, &key.clone()));
            for at in 0..length {
                let mut other = key.clone();
                other[at] = 8;
                assert!(!same(&key, &other));
                assert_ne!(hash(1, &key), hash(1, &other));
            }
        }
    }
}
