//! SharedDates as small numbers.
//!
//! Most files know few days, so each gets a number of its own when it is first seen, which is the same
//! one for all threads. A known day costs a few instructions and one look into a table of the thread;
//! only a new one is checked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::group::dict_ranks::DictRanks;
use crate::radix::sort_by_upper_half;
use crate::read::date::is_date;
use crate::text::Prefixes;

/// The years 0000 to 9999, 16 months each, 32 days each.
const CODES: u32 = 10_000 << 9;

/// The days that all threads have seen so far.
#[derive(Debug, Default)]
pub(crate) struct SharedDates {
    /// The number of each by its code ([`text`]).
    numbers: Mutex<HashMap<u32, u32>>,
    count: AtomicUsize,
}

/// The days that a thread has seen so far.
#[derive(Debug)]
pub(crate) struct LocalDates<'a> {
    days: &'a SharedDates,
    /// For each code the number of its day from 1 on, or 0. The system gives zeros page by page as
    /// they are used, so few days take little memory.
    numbers: Vec<u32>,
}

impl SharedDates {
    /// How many there are. A day that another thread has seen counts when this one has locked
    /// something since that the other had locked.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Their order.
    pub(crate) fn order(&self) -> DictRanks {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let days = numbers.iter().map(|(code, day)| u64::from(*code) << 32 | u64::from(*day));
        let mut days: Vec<_> = days.collect();
        sort_by_upper_half(&mut days, &mut Vec::new(), CODES);
        let mut ranks = vec![0; days.len()];
        for (rank, day) in (0..).zip(&days) {
            ranks[*day as u32 as usize] = rank;
        }
        let (codes, ids) = days.into_iter().map(|day| ((day >> 32) as u32, day as u32)).unzip();
        DictRanks { codes, ids, ranks }
    }

    /// The number of the day with this code, from 0.
    fn number(&self, code: u32) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = numbers.len() as u32;
        let number = *numbers.entry(code).or_insert(next);
        self.count.store(numbers.len(), Ordering::Relaxed);
        number
    }
}

impl<'a> LocalDates<'a> {
    pub(crate) fn new(days: &'a SharedDates) -> Self {
        Self { days, numbers: vec![0; CODES.next_power_of_two() as usize] }
    }

    /// The number of the day with this text, from 0; `None` where it is no day. `code` is that of the
    /// text ([`codes`]).
    #[inline(always)]
    pub(crate) fn number<'t>(&mut self, code: u32, text: impl FnOnce() -> &'t [u8]) -> Option<u32> {
        // No code is as high; the compiler sees that the place is one of the table.
        let known = self.numbers[code as usize & (self.numbers.len() - 1)];
        if known > 0 { Some(known - 1) } else { self.add(code, text()) }
    }

    /// Like [`LocalDates::number`] for a text that stands alone.
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
        let number = self.days.number(code);
        *self.numbers.get_mut(code as usize)? = number + 1;
        Some(number)
    }
}

/// The code of each of these texts ([`code`]).
#[inline(always)]
pub(crate) fn codes(texts: &Prefixes, codes: &mut [u32]) {
    let texts = texts.first.iter().zip(&texts.second).zip(&texts.lengths);
    for (((first, second), length), known) in texts.zip(codes) {
        *known = code(*first, *second, *length);
    }
}

/// A number for a text that starts with these bytes, in which no two days share one; [`CODES`] where it
/// cannot be a day.
#[inline(always)]
fn code(first: u64, second: u64, length: u64) -> u32 {
    // As digits, all at once; where a dash is, nothing may be left.
    let start = first ^ u64::from_le_bytes(*b"0000-00-");
    let day = (second ^ u64::from_le_bytes([b'0'; 8])) & 0xFFFF;
    // Sets the highest bit of a byte above 9, and of one above 0 where a dash is.
    let not_start = start.wrapping_add(0x7F76_767F_7676_7676) | start;
    let not_day = day.wrapping_add(0x7676) | day;
    let are_digits = (not_start | not_day) & 0x8080_8080_8080_8080 == 0;
    // The first of two digits is the lower byte.
    let pair = |word: u64, at: u32| (word >> at & 0xFF) * 10 + (word >> (at + 8) & 0xFF);
    let year = pair(start, 0) * 100 + pair(start, 16);
    let (month, day) = (pair(start, 40), pair(day, 0));
    let is_code = are_digits & (month < 16) & (day < 32) & (length == 10);
    if is_code { (year << 9 | month << 5 | day) as u32 } else { CODES }
}

/// The day of a code as `YYYY-MM-DD`.
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

    /// Reads it as a batch does, among other bytes, and as it stands alone.
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
    fn days_keep_their_numbers_and_their_order_in_all_threads() {
        let all = SharedDates::default();
        let (mut dates, mut others) = (LocalDates::new(&all), LocalDates::new(&all));
        let days = ["2020-02-29", "0001-01-01", "9999-12-31", "2020-03-01", "2019-12-31"];
        for _ in 0..2 {
            for (expected, day) in days.iter().enumerate() {
                assert_eq!(number(&mut dates, day.as_bytes()), Some(expected as u32));
                assert_eq!(number(&mut others, day.as_bytes()), Some(expected as u32));
            }
        }
        assert_eq!(all.count(), days.len());
        let order = all.order();
        assert!(order.codes.iter().map(|code| text(*code)).is_sorted());
        for (rank, (day, code)) in order.ids.iter().zip(&order.codes).enumerate() {
            assert_eq!(order.ranks[*day as usize], rank as u32);
            assert_eq!(text(*code), days[*day as usize].as_bytes());
        }
    }

    #[test]
    fn what_is_no_day_gets_no_number() {
        let all = SharedDates::default();
        let mut dates = LocalDates::new(&all);
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
