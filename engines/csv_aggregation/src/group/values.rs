//! The values of a group's last column as small numbers.
//!
//! Most files know few of them (days, devices, countries), so each gets a number of its own when it is
//! first seen, which is the same one for all threads. Where they turn out to be many, the table of
//! them is closed, so that it stays small: then groups are kept by the texts of all their columns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::csv_line::push_field;
use crate::group::key_table::KeyTable;
use crate::text::{Span, Text};

/// So many values are few: a thread's own table of them stays in its processor's cache.
pub(crate) const FEW_VALUES: usize = 32 << 10;
/// So many bytes of them are few.
const FEW_BYTES: usize = 4 << 20;

/// The values that all threads have seen so far.
#[derive(Debug)]
pub(crate) struct SharedValues {
    all: Mutex<KeyTable>,
    count: AtomicUsize,
    /// So many are few.
    few: usize,
}

/// The values that a thread has seen so far.
#[derive(Debug)]
pub(crate) struct LocalValues<'a> {
    values: &'a SharedValues,
    seed: u64,
    keys: KeyTable,
    /// The number of each key.
    numbers: Vec<u32>,
}

/// All values when there will be no others.
#[derive(Debug)]
pub(crate) struct ValueRanks {
    /// The text of each by its number, as it is in keys and as a field of CSV.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    /// The place of each in the order of the texts.
    ranks: Vec<u32>,
}

impl SharedValues {
    /// None yet; more than `few` are too many.
    pub(crate) fn new(few: usize, seed: u64) -> Self {
        Self { all: Mutex::new(KeyTable::new(seed)), count: AtomicUsize::new(0), few }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether they are too many. Those of the rows at hand still get numbers.
    pub(crate) fn is_closed(&self) -> bool {
        self.count.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn number(&self, text: &[u8]) -> u32 {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.number(text);
        let many = all.len() > self.few || all.memory() > FEW_BYTES;
        let closed = if many || self.is_closed() { CLOSED } else { 0 };
        self.count.store(all.len() | closed, Ordering::Relaxed);
        number as u32
    }

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

/// In the count where the table is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

impl<'a> LocalValues<'a> {
    pub(crate) fn new(values: &'a SharedValues, seed: u64) -> Self {
        Self { values, seed, keys: KeyTable::new(seed), numbers: Vec::new() }
    }

    /// The number of the value that stands at `span` of `data`; see [`Text`].
    #[inline(always)]
    pub(crate) fn number(&mut self, data: &[u8], span: Span) -> u32 {
        let text = Text::new(data, span);
        let key = self.keys.near_number(text, text.hash(self.seed));
        match self.numbers.get(key) {
            Some(number) => *number,
            None => self.add(span.of(data)),
        }
    }

    /// Like [`LocalValues::number`] for a text that stands alone.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self.numbers.get(self.keys.number(text)) {
            Some(number) => *number,
            None => self.add(text),
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, text: &[u8]) -> u32 {
        let number = self.values.number(text);
        self.numbers.push(number);
        number
    }
}

impl ValueRanks {
    /// The text of a value.
    pub(crate) fn text(&self, number: u32) -> &[u8] {
        &self.texts[number as usize].0
    }

    /// The text of a value as a field of CSV.
    pub(crate) fn field(&self, number: u32) -> &[u8] {
        &self.texts[number as usize].1
    }

    /// Puts the places of these values into the order of their texts.
    pub(crate) fn sort(&self, numbers: &[u32], places: &mut Vec<(u32, u32)>) {
        places.clear();
        places.extend(numbers.iter().map(|number| self.ranks[*number as usize]).zip(0..));
        places.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers_in_all_threads_until_there_are_many() {
        let values = SharedValues::new(3, 1);
        let (mut one, mut other) = (LocalValues::new(&values, 1), LocalValues::new(&values, 1));
        for _ in 0..2 {
            assert_eq!(one.number_of(b"b"), 0);
            assert_eq!(other.number_of(b"a, b"), 1);
            assert_eq!(one.number_of(b"a, b"), 1);
            assert_eq!(one.number_of(b""), 2);
            assert_eq!(values.count(), 3);
            assert!(!values.is_closed());
        }
        assert_eq!(other.number_of(b"c"), 3);
        assert!(values.is_closed());
        assert_eq!(one.number_of(b"d"), 4);
        assert_eq!(values.count(), 5);
        let order = values.order();
        let mut places = Vec::new();
        order.sort(&[0, 1, 2, 3, 4], &mut places);
        let sorted: Vec<_> = places.iter().map(|(_, place)| order.field(*place)).collect();
        assert_eq!(sorted, [&b""[..], b"\"a, b\"", b"b", b"c", b"d"]);
        assert_eq!(order.text(1), b"a, b");
    }
}
