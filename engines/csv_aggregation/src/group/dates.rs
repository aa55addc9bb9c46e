//! The dictionary of dates.
//!
//! Most files contain few distinct dates. Each gets a number when it is first seen, which is the
//! same in all threads. To look up a known date takes a few instructions and one load from a table
//! of the thread. Only new dates are validated.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::group::dict_ranks::DictRanks;
use crate::radix::sort_by_upper_half;
use crate::read::date::is_date;
use crate::text::Prefixes;

/// The number of date codes: the years 0000 to 9999, with 16 months of 32 days each.
const CODES: u32 = 10_000 << 9;

/// The dates seen so far by all threads.
#[derive(Debug, Default)]
pub(crate) struct SharedDates {
    /// The number of each date by its code ([`text`]).
    numbers: Mutex<HashMap<u32, u32>>,
    count: AtomicUsize,
}

/// The dates seen so far by one thread.
#[derive(Debug)]
pub(crate) struct LocalDates<'a> {
    shared: &'a SharedDates,
    /// For each code the number of the date plus 1, or 0 if it has not been seen. The system
    /// provides zero pages on first use, so few dates take little memory.
    numbers: Vec<u32>,
}

impl SharedDates {
    /// The number of distinct dates. A date that another thread has added is included once this
    /// thread has acquired a lock that the other one released afterwards.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The calendar order of the dates.
    pub(crate) fn order(&self) -> DictRanks {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let dates = numbers.iter().map(|(code, id)| u64::from(*code) << 32 | u64::from(*id));
        let mut dates: Vec<_> = dates.collect();
        sort_by_upper_half(&mut dates, &mut Vec::new(), CODES);
        let mut ranks = vec![0; dates.len()];
        for (rank, date) in (0..).zip(&dates) {
            ranks[*date as u32 as usize] = rank;
        }
        let (codes, ids) = dates.into_iter().map(|date| ((date >> 32) as u32, date as u32)).unzip();
        DictRanks { codes, ids, ranks }
    }

    /// The number of the date with this code, from 0. New dates are added.
    fn number(&self, code: u32) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = numbers.len() as u32;
        let number = *numbers.entry(code).or_insert(next);
        self.count.store(numbers.len(), Ordering::Relaxed);
        number
    }
}

impl<'a> LocalDates<'a> {
    pub(crate) fn new(shared: &'a SharedDates) -> Self {
        Self { shared, numbers: vec![0; CODES.next_power_of_two() as usize] }
    }

    /// The number of the date, from 0; `None` if the text is not a date. `code` is the code of the
    /// text ([`codes`]).
    #[inline(always)]
    pub(crate) fn number<'t>(&mut self, code: u32, text: impl FnOnce() -> &'t [u8]) -> Option<u32> {
        // All codes are smaller than the table; the mask removes the bounds check.
        let known = self.numbers[code as usize & (self.numbers.len() - 1)];
        if known > 0 { Some(known - 1) } else { self.add(code, text()) }
    }

    /// Like [`LocalDates::number`], for a single text.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> Option<u32> {
        let mut data = [0; 16];
        data.get_mut(..text.len())?.copy_from_slice(text);
        let wide = u128::from_le_bytes(data);
        self.number(code(wide as u64, (wide >> 64) as u64, text.len() as u64), || text)
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, code: u32, text: &[u8]) -> Option<u32> {
        if !is_date(text) {
            return None;
        }
        let number = self.shared.number(code);
        *self.numbers.get_mut(code as usize)? = number + 1;
        Some(number)
    }
}

/// Computes the code of each text ([`code`]). The loop has no branches, so the compiler vectorises
/// it.
#[inline(always)]
pub(crate) fn codes(texts: &Prefixes, codes: &mut [u32]) {
    let texts = texts.first.iter().zip(&texts.second).zip(&texts.lengths);
    for (((first, second), length), result) in texts.zip(codes) {
        *result = code(*first, *second, *length);
    }
}

/// The code of a text with these first bytes: year, month and day packed into one number, which
/// sorts like the date. [`CODES`] if the text cannot be a date.
#[inline(always)]
fn code(first: u64, second: u64, length: u64) -> u32 {
    // Convert all digits at once. The XOR leaves 0 for a dash in the right place.
    let start = first ^ u64::from_le_bytes(*b"0000-00-");
    let day = (second ^ u64::from_le_bytes([b'0'; 8])) & 0xFFFF;
    // Sets the highest bit of bytes above 9, or above 0 in place of a dash.
    let not_start = start.wrapping_add(0x7F76_767F_7676_7676) | start;
    let not_day = day.wrapping_add(0x7676) | day;
    let are_digits = (not_start | not_day) & 0x8080_8080_8080_8080 == 0;
    // The first digit of a pair is in the lower byte.
    let pair = |word: u64, at: u32| (word >> at & 0xFF) * 10 + (word >> (at + 8) & 0xFF);
    let year = pair(start, 0) * 100 + pair(start, 16);
    let (month, day) = (pair(start, 40), pair(day, 0));
    let is_code = are_digits & (month < 16) & (day < 32) & (length == 10);
    if is_code { (year << 9 | month << 5 | day) as u32 } else { CODES }
}

/// Formats the date of a code as `YYYY-MM-DD`.
pub(crate) fn text(code: u32) -> [u8; 10] {
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let (year, month, day) = (code >> 9, code >> 5 & 15, code & 31);
    [
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Span;

    /// Looks up a date in a batch, between other bytes, and on its own.
    fn number(dates: &mut LocalDates<'_>, text: &[u8]) -> Option<u32> {
        let data = [b"12", text, ",é456789abcdef0".as_bytes()].concat();
        let (mut prefixes, mut found) = (Prefixes::default(), [0]);
        prefixes.read::<true>(&data, &[Span::new(2, 2 + text.len())]);
        csv_structure::vectorised(|| codes(&prefixes, &mut found));
        let number = dates.number(found[0], || text);
        assert_eq!(dates.number_of(text), number);
        number
    }

    #[test]
    fn dates_have_the_same_numbers_and_order_in_all_threads() {
        let shared = SharedDates::default();
        let (mut one, mut other) = (LocalDates::new(&shared), LocalDates::new(&shared));
        let dates = ["2020-02-29", "0001-01-01", "9999-12-31", "2020-03-01", "2019-12-31"];
        for _ in 0..2 {
            for (expected, date) in dates.iter().enumerate() {
                assert_eq!(number(&mut one, date.as_bytes()), Some(expected as u32));
                assert_eq!(number(&mut other, date.as_bytes()), Some(expected as u32));
            }
        }
        assert_eq!(shared.count(), dates.len());
        let order = shared.order();
        assert!(order.codes.iter().map(|code| text(*code)).is_sorted());
        for (rank, (id, code)) in order.ids.iter().zip(&order.codes).enumerate() {
            assert_eq!(order.ranks[*id as usize], rank as u32);
            assert_eq!(text(*code), dates[*id as usize].as_bytes());
        }
    }

    #[test]
    fn invalid_dates_have_no_number() {
        let shared = SharedDates::default();
        let mut dates = LocalDates::new(&shared);
        for month in 0..100 {
            for day in 0..100 {
                let text = format!("2023-{month:02}-{day:02}");
                let real = is_date(text.as_bytes());
                assert_eq!(number(&mut dates, text.as_bytes()).is_some(), real, "{text}");
            }
        }
        for at in 0..10 {
            for byte in 0..=u8::MAX {
                let mut day = *b"2023-11-11";
                day[at] = byte;
                let found = number(&mut dates, &day);
                assert_eq!(found.is_some(), is_date(&day), "{}", day.escape_ascii());
            }
        }
        for text in ["", "2020-01-0", "2020-01-011"] {
            assert_eq!(number(&mut dates, text.as_bytes()), None, "{text}");
        }
    }
}
