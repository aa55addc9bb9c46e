//! The groups that one thread has found.

use super::Interrupted;
use super::cells::Cells;
use super::dates::{Dates, DayOrder};
use super::group::Group;
use super::keys::{Keys, Known};
use super::sort;

/// As many rows are added at once: enough that the processor always has memory to wait for, and so
/// few that what is kept of them stays in its nearest cache.
const BATCH: usize = 256;

/// Groups and their sums.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) keys: Keys,
    pub(super) dates: Dates,
    pub(super) cells: Cells,
    /// Whether a group has a day; else all have day 0.
    pub(super) dated: bool,
    sums: usize,
    waiting: Vec<Waiting>,
    /// The keys of those that wait and do not stand in the chunk as they are.
    waiting_keys: Vec<u8>,
    /// The values of all that wait.
    waiting_values: Vec<i64>,
}

/// A row that is to be added.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// Where its key stands, in the chunk or in `waiting_keys`.
    key: (u32, u32),
    day: u32,
    hash: u64,
    slot: u64,
    /// What its key most likely is.
    known: Option<Known>,
    number: u32,
    /// Where its cell is, if that is known.
    at: Option<usize>,
}

impl Groups {
    pub(super) fn new(sums: usize, dated: bool) -> Self {
        Self {
            keys: Keys::new(),
            dates: Dates::new(),
            cells: Cells::new(sums),
            dated,
            sums,
            waiting: Vec::with_capacity(BATCH),
            waiting_keys: Vec::new(),
            waiting_values: Vec::with_capacity(BATCH * sums),
        }
    }

    /// Whether there is no room for the groups of one more chunk, whatever the memory.
    pub(super) fn is_full(&self) -> bool {
        self.keys.is_full() || self.cells.is_full()
    }

    /// The memory in bytes that they take, with what sorting them will need.
    pub(super) fn memory(&self) -> u64 {
        let sorting = self.keys.len() * sort::MEMORY_PER_KEY;
        (self.keys.memory() + self.cells.memory() + sorting) as u64
    }

    /// Adds `values` to the sums of the group.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], day: u32, values: &[i64]) {
        let days = if self.dated { self.dates.len() } else { 1 };
        let key = self.keys.number(key);
        self.cells.add(key, day, days, values);
    }

    /// Adds a row some time later, at the latest with [`Groups::flush`], which must come before `data`
    /// changes. Its key is `start..end` of `data`.
    #[inline]
    pub(super) fn add_later(
        &mut self,
        data: &[u8],
        (start, end): (usize, usize),
        day: u32,
        values: &[i64],
    ) {
        self.wait((start as u32, end as u32), day, values);
        if self.waiting.len() >= BATCH {
            self.flush(data);
        }
    }

    /// Like [`Groups::add_later`] for a key that stands nowhere; `write` appends it, or gives up, and
    /// then nothing is added. No groups may get keys both ways.
    #[inline]
    pub(super) fn add_joined_later(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
        day: u32,
        values: &[i64],
    ) -> Option<()> {
        let start = self.waiting_keys.len();
        if write(&mut self.waiting_keys).is_none() {
            self.waiting_keys.truncate(start);
            return None;
        }
        self.wait((start as u32, self.waiting_keys.len() as u32), day, values);
        if self.waiting.len() >= BATCH {
            self.flush(&[]);
        }
        Some(())
    }

    #[inline]
    fn wait(&mut self, key: (u32, u32), day: u32, values: &[i64]) {
        self.waiting.push(Waiting { key, day, hash: 0, slot: 0, known: None, number: 0, at: None });
        self.waiting_values.extend_from_slice(values);
    }

    /// Adds all rows that wait. Each step is taken for all of them before the next one: none of
    /// them depends on another, so the processor waits for the memory of many at the same time.
    pub(super) fn flush(&mut self, data: &[u8]) {
        let data = if self.waiting_keys.is_empty() { data } else { &self.waiting_keys };
        let key_of = |row: &Waiting| &data[row.key.0 as usize..row.key.1 as usize];
        let mut touched = 0;
        if self.keys.is_near() {
            for row in &mut self.waiting {
                let key = key_of(row);
                row.number = self.keys.number(key) as u32;
                row.at = self.cells.in_row(row.number as usize, row.day);
                touched ^= self.cells.touch_at(row.at);
            }
        } else {
            for row in &mut self.waiting {
                row.hash = self.keys.hash(key_of(row));
                row.slot = self.keys.first_slot(row.hash);
            }
            for row in &mut self.waiting {
                row.known = self.keys.known(row.hash, row.slot);
            }
            for row in &self.waiting {
                touched ^= i64::from(self.keys.touch(row.known));
            }
            for row in &mut self.waiting {
                row.number = self.keys.number_of(key_of(row), row.hash, row.known) as u32;
            }
            for row in &mut self.waiting {
                row.at = self.cells.in_row(row.number as usize, row.day);
                touched ^= match row.at {
                    None => self.cells.touch(row.number as usize),
                    at => self.cells.touch_at(at),
                };
            }
        }
        std::hint::black_box(touched);
        let days = if self.dated { self.dates.len() } else { 1 };
        let mut moved = false;
        for (row, values) in self.waiting.iter().zip(self.waiting_values.chunks_exact(self.sums)) {
            let group = (row.number as usize, row.day);
            match row.at {
                // Where a key has moved, what another had known of its place may be wrong.
                Some(at) if !moved => self.cells.add_in_row(at, group, values),
                _ => moved |= self.cells.add(group.0, row.day, days, values),
            }
        }
        self.waiting.clear();
        self.waiting_keys.clear();
        self.waiting_values.clear();
    }

    /// Sorts them. `checkpoint` is asked every some milliseconds.
    pub(super) fn order(
        &self,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> Result<Order, Interrupted> {
        let keys = sort::order(&self.keys, checkpoint)?;
        let days = if self.dated { self.dates.order() } else { DayOrder::no_days() };
        Ok(Order { keys, days })
    }

    /// Forgets them and keeps their memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.cells.clear();
    }

    /// Looks at what [`Groups::read`] will need of these keys, so that it finds it in the processor's
    /// cache: keys that are neighbours in their order are scattered in memory, and the processor can
    /// wait for many places at the same time.
    pub(super) fn touch(&self, keys: &[u32]) {
        let touch = |key: &u32| {
            let key = *key as usize;
            self.keys.touch_key(key) ^ self.cells.touch(key) as u8
        };
        std::hint::black_box(keys.iter().fold(0, |touched, key| touched ^ touch(key)));
    }

    /// Writes the key of this number and what belongs to it to `group`. `scratch` is overwritten.
    pub(super) fn read(
        &self,
        key: usize,
        order: &Order,
        group: &mut Group,
        scratch: &mut Vec<(u32, u32)>,
    ) {
        group.clear();
        group.key.extend_from_slice(self.keys.key(key));
        self.cells.read(key, &order.days, group, scratch);
    }
}

/// The order of groups.
#[derive(Debug)]
pub(super) struct Order {
    /// The numbers of the keys in their order.
    pub(super) keys: Vec<u32>,
    days: DayOrder,
}
