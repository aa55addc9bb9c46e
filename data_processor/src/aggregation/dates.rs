//! Days as small numbers.
//!
//! Most files know few days, so each gets a number of its own when it is first seen. A known day
//! costs a few instructions and one look into a table; only a new one is checked.

use super::date::is_date;

/// The years 0000 to 9999, 16 months each, 32 days each.
const CODES: usize = 10_000 << 9;

/// The days seen so far.
#[derive(Debug)]
pub(super) struct Dates {
    /// For each code the number of its day from 1 on, or 0. The system gives zeros page by page as
    /// they are used, so few days take little memory.
    numbers: Vec<u32>,
    codes: Vec<u32>,
}

/// The days seen so far in their order.
#[derive(Debug)]
pub(super) struct DayOrder {
    /// The code of each ([`text`]).
    pub(super) codes: Vec<u32>,
    /// The number of each.
    pub(super) days: Vec<u32>,
    /// The place in the order for each number.
    pub(super) ranks: Vec<u32>,
}

impl DayOrder {
    /// That of groups without days: all have the number 0.
    pub(super) fn no_days() -> Self {
        Self { codes: vec![0], days: vec![0], ranks: vec![0] }
    }
}

impl Dates {
    pub(super) fn new() -> Self {
        Self { numbers: vec![0; CODES], codes: Vec::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// Their order.
    pub(super) fn order(&self) -> DayOrder {
        let mut order: Vec<_> = self.codes.iter().copied().zip(0_u32..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len()];
        for (rank, (_, day)) in (0..).zip(&order) {
            ranks[*day as usize] = rank;
        }
        let (codes, days) = order.into_iter().unzip();
        DayOrder { codes, days, ranks }
    }

    /// The number of the day `text`, from 0; `None` where it is no day.
    #[inline(always)]
    pub(super) fn number(&mut self, text: &[u8]) -> Option<u32> {
        let code = code(text)?;
        match self.numbers[code as usize] {
            0 => self.add(code, text),
            number => Some(number - 1),
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, code: u32, text: &[u8]) -> Option<u32> {
        if !is_date(text) {
            return None;
        }
        let number = self.codes.len() as u32;
        self.codes.push(code);
        self.numbers[code as usize] = number + 1;
        Some(number)
    }
}

/// A number for `text`, in which no two texts share one; `None` where it cannot be a day.
#[inline(always)]
fn code(text: &[u8]) -> Option<u32> {
    let text: &[u8; 10] = text.try_into().ok()?;
    // Eight bytes at a time, as digits; what is no digit has the highest bit of its byte set.
    let [start @ .., d1, d2] = *text;
    let start = u64::from_le_bytes(start) ^ u64::from_le_bytes(*b"0000-00-");
    let day = u64::from(u16::from_le_bytes([d1, d2]) ^ u16::from_le_bytes(*b"00"));
    let not_digits = |digits: u64| digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    // Where the dashes are, nothing may be left.
    const DASHES: u64 = 0xFF00_00FF << 32;
    let bad = (not_digits(start) | not_digits(day)) & 0x8080_8080_8080_8080 | start & DASHES;
    if bad != 0 {
        return None;
    }
    // The first of two digits is the lower byte.
    let pairs = start.wrapping_mul(10 << 8 | 1) >> 8;
    let pair = |at: u32| (pairs >> at & 0xFF) as u32;
    let year = pair(0) * 100 + pair(16);
    // The dash behind the month leaves its pair alone.
    let month = (start >> 40 & 0xF) as u32 * 10 + (start >> 48 & 0xF) as u32;
    let day = (day & 0xF) as u32 * 10 + (day >> 8) as u32;
    (month < 16 && day < 32).then_some(year << 9 | month << 5 | day)
}

/// The day of a code as `YYYY-MM-DD`.
pub(super) fn text(code: u32) -> [u8; 10] {
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

    #[test]
    fn days_keep_their_numbers_and_their_order() {
        let mut dates = Dates::new();
        let days = ["2020-02-29", "0001-01-01", "9999-12-31", "2020-03-01", "2019-12-31"];
        for _ in 0..2 {
            for (number, day) in days.iter().enumerate() {
                assert_eq!(dates.number(day.as_bytes()), Some(number as u32));
            }
        }
        let order = dates.order();
        assert!(order.codes.iter().map(|code| text(*code)).is_sorted());
        for (rank, (day, code)) in order.days.iter().zip(&order.codes).enumerate() {
            assert_eq!(order.ranks[*day as usize], rank as u32);
            assert_eq!(text(*code), days[*day as usize].as_bytes());
        }
    }

    #[test]
    fn what_is_no_day_gets_no_number() {
        let mut dates = Dates::new();
        for month in 0..100 {
            for day in 0..100 {
                let text = format!("2023-{month:02}-{day:02}");
                let real = is_date(text.as_bytes());
                assert_eq!(dates.number(text.as_bytes()).is_some(), real, "{text}");
            }
        }
        for text in ["", "2020-01-0", "2020-01-011", "2020/01/01", "２０-01-01", "202:-01-01"] {
            assert_eq!(dates.number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(dates.len(), 365);
    }
}
