//! The dictionary of arbitrary values of the last group column.
//!
//! Most files contain few distinct values there (days, devices, countries). Each gets a number when
//! it is first seen, which is the same in all threads. If there are too many, the dictionary is
//! closed, so that it stays small: further groups store all their columns inline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::csv_line::push_field;
use crate::group::key_table::KeyTable;
use crate::text::{Span, Text};

/// The number of values beyond which the dictionary is closed. A thread's table of this many values
/// stays in the core's cache.
pub(crate) const MAX_VALUES: usize = 32 << 10;
/// The memory of the values in bytes beyond which the dictionary is closed.
const MAX_BYTES: usize = 4 << 20;

/// The values seen so far by all threads.
#[derive(Debug)]
pub(crate) struct SharedValues {
    all: Mutex<KeyTable>,
    /// The number of values, and [`CLOSED`].
    count: AtomicUsize,
    max_values: usize,
}

/// The values seen so far by one thread.
#[derive(Debug)]
pub(crate) struct LocalValues<'a> {
    shared: &'a SharedValues,
    seed: u64,
    keys: KeyTable,
    /// The shared number of each local key.
    numbers: Vec<u32>,
}

/// The sort order of all values, when the dictionary is complete.
#[derive(Debug)]
pub(crate) struct ValueRanks {
    /// The text of each value by number: as it is, and as a CSV field.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    /// The rank of each value by number.
    ranks: Vec<u32>,
}

impl SharedValues {
    /// An empty dictionary, which is closed beyond `max_values` values.
    pub(crate) fn new(max_values: usize, seed: u64) -> Self {
        Self { all: Mutex::new(KeyTable::new(seed)), count: AtomicUsize::new(0), max_values }
    }

    /// The number of values.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether there are too many values. New ones in the chunks in progress still get numbers.
    pub(crate) fn is_closed(&self) -> bool {
        self.count.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn number(&self, text: &[u8]) -> u32 {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.number(text);
        let too_many = all.len() > self.max_values || all.memory() > MAX_BYTES;
        let closed = if too_many || self.is_closed() { CLOSED } else { 0 };
        self.count.store(all.len() | closed, Ordering::Relaxed);
        number as u32
    }

    /// Sorts the values. The dictionary must be complete.
    pub(crate) fn order(&self) -> ValueRanks {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = (0..all.len()).map(|number| {
            let text = all.key(number);
            let mut field = Vec::new();
            push_field(&mut field, text);
            (text.to_vec(), field)
        });
        let texts: Vec<_> = texts.collect();
        let mut order: Vec<_> = (0..texts.len() as u32).collect();
        order.sort_unstable_by_key(|number| &texts[*number as usize].0);
        let mut ranks = vec![0; texts.len()];
        for (rank, number) in (0..).zip(order) {
            ranks[number as usize] = rank;
        }
        ValueRanks { texts, ranks }
    }
}

/// The flag of a closed dictionary in [`SharedValues::count`].
const CLOSED: usize = 1 << (usize::BITS - 1);

impl<'a> LocalValues<'a> {
    pub(crate) fn new(shared: &'a SharedValues, seed: u64) -> Self {
        Self { shared, seed, keys: KeyTable::new(seed), numbers: Vec::new() }
    }

    /// The number of the value at `span` of `data`; see [`Text`].
    #[inline(always)]
    pub(crate) fn number(&mut self, data: &[u8], span: Span) -> u32 {
        let text = Text::new(data, span);
        let key = self.keys.near_number(text, text.hash(self.seed));
        match self.numbers.get(key) {
            Some(number) => *number,
            None => self.add(span.of(data)),
        }
    }

    /// Like [`LocalValues::number`], for a single text.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self.numbers.get(self.keys.number(text)) {
            Some(number) => *number,
            None => self.add(text),
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, text: &[u8]) -> u32 {
        let number = self.shared.number(text);
        self.numbers.push(number);
        number
    }
}

impl ValueRanks {
    /// The text of a value.
    pub(crate) fn text(&self, number: u32) -> &[u8] {
        &self.texts[number as usize].0
    }

    /// The text of a value as a CSV field.
    pub(crate) fn field(&self, number: u32) -> &[u8] {
        &self.texts[number as usize].1
    }

    /// Sorts these values by their texts: fills `sorted` with their ranks and indexes in `numbers`.
    pub(crate) fn sort(&self, numbers: &[u32], sorted: &mut Vec<(u32, u32)>) {
        sorted.clear();
        sorted.extend(numbers.iter().map(|number| self.ranks[*number as usize]).zip(0..));
        sorted.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_same_numbers_in_all_threads_until_closed() {
        let shared = SharedValues::new(3, 1);
        let (mut one, mut other) = (LocalValues::new(&shared, 1), LocalValues::new(&shared, 1));
        for _ in 0..2 {
            assert_eq!(one.number_of(b"b"), 0);
            assert_eq!(other.number_of(b"a, b"), 1);
            assert_eq!(one.number_of(b"a, b"), 1);
            assert_eq!(one.number_of(b""), 2);
            assert_eq!(shared.count(), 3);
            assert!(!shared.is_closed());
        }
        assert_eq!(other.number_of(b"c"), 3);
        assert!(shared.is_closed());
        assert_eq!(one.number_of(b"d"), 4);
        assert_eq!(shared.count(), 5);
        let order = shared.order();
        let mut sorted = Vec::new();
        order.sort(&[0, 1, 2, 3, 4], &mut sorted);
        let fields: Vec<_> = sorted.iter().map(|(_, index)| order.field(*index)).collect();
        assert_eq!(fields, [&b""[..], b"\"a, b\"", b"b", b"c", b"d"]);
        assert_eq!(order.text(1), b"a, b");
    }
}
