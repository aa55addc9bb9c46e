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
/// The place of a cell that is not known.
const UNKNOWN: u32 = u32::MAX;

/// Groups and their sums.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) keys: Keys,
    pub(super) dates: Dates,
    pub(super) cells: Cells,
    /// Whether a group has a day; else all have day 0.
    pub(super) dated: bool,
    sums: usize,
    /// Rows that are to be added, as many as `waits`, and their values.
    waiting: Vec<Waiting>,
    waiting_values: Vec<i64>,
    waits: usize,
    /// The keys of those that wait and do not stand in the chunk as they are.
    waiting_keys: Vec<u8>,
    /// Whether the keys of those that wait are looked up at once.
    near: bool,
}

/// A row that is to be added.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    hash: u64,
    /// Where its key stands, in the chunk or in `waiting_keys`.
    start: u32,
    end: u32,
    /// What its key most likely is.
    known: Known,
    /// What its key is.
    number: u32,
    day: u32,
    /// Where its cell is, or [`UNKNOWN`].
    at: u32,
}

impl Groups {
    pub(super) fn new(sums: usize, dated: bool) -> Self {
        let keys = Keys::new();
        Self {
            near: keys.is_near(),
            keys,
            dates: Dates::new(),
            cells: Cells::new(sums, dated),
            dated,
            sums,
            waiting: vec![Waiting::default(); BATCH],
            waiting_values: vec![0; BATCH * sums],
            waits: 0,
            waiting_keys: Vec::new(),
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
        // A key that moves must not do so under the rows that wait: these have not looked for their
        // cells yet.
        self.cells.add(key, day, days, values);
    }

    /// Where the values of the next row go, before it is added.
    #[inline(always)]
    pub(super) fn next_values(&mut self) -> &mut [i64] {
        let start = self.waits * self.sums;
        &mut self.waiting_values[start..start + self.sums]
    }

    /// Adds a row, whose values are in [`Groups::next_values`], some time later: at the latest with
    /// [`Groups::flush`], which must come before `data` changes. Its key is `start..end` of `data`.
    #[inline(always)]
    pub(super) fn add_later(&mut self, data: &[u8], (start, end): (usize, usize), day: u32) {
        self.wait(&data[start..end], start, day);
        if self.waits == BATCH {
            self.flush(data);
        }
    }

    /// Like [`Groups::add_later`] for a key that stands nowhere; `write` appends it, or gives up, and
    /// then nothing is added. No groups may get keys both ways.
    #[inline(always)]
    pub(super) fn add_joined_later(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
        day: u32,
    ) -> Option<()> {
        let mut keys = std::mem::take(&mut self.waiting_keys);
        let start = keys.len();
        let written = write(&mut keys);
        match written {
            Some(()) => self.wait(&keys[start..], start, day),
            None => keys.truncate(start),
        }
        self.waiting_keys = keys;
        if self.waits == BATCH {
            self.flush(&[]);
        }
        written
    }

    /// `start` is where `key` stands.
    #[inline(always)]
    fn wait(&mut self, key: &[u8], start: usize, day: u32) {
        let hash = self.keys.hash(key);
        let number = if self.near { self.keys.near_number(key, hash) as u32 } else { 0 };
        let (start, end) = (start as u32, (start + key.len()) as u32);
        self.waiting[self.waits] =
            Waiting { hash, start, end, number, day, at: UNKNOWN, ..Waiting::default() };
        self.waits += 1;
    }

    /// Adds all rows that wait. Each step is taken for all of them before the next one: none of
    /// them depends on another, so the processor waits for the memory of many at the same time.
    pub(super) fn flush(&mut self, data: &[u8]) {
        let data = if self.waiting_keys.is_empty() { data } else { &self.waiting_keys };
        let waiting = &mut self.waiting[..self.waits];
        let mut touched = 0;
        if !self.near {
            for row in &*waiting {
                touched ^= self.keys.touch_slot(row.hash) as i64;
            }
            for row in &mut *waiting {
                row.known = self.keys.known(row.hash);
            }
            for row in &*waiting {
                touched ^= i64::from(self.keys.touch(row.known));
            }
            for row in &mut *waiting {
                let key = &data[row.start as usize..row.end as usize];
                row.number = self.keys.number_of(key, row.hash, row.known) as u32;
            }
        }
        for row in &mut *waiting {
            match self.cells.in_row(row.number as usize, row.day) {
                Some(at) => {
                    row.at = at as u32;
                    touched ^= self.cells.touch_at(at);
                }
                None => touched ^= self.cells.touch(row.number as usize),
            }
        }
        std::hint::black_box(touched);
        let days = if self.dated { self.dates.len() } else { 1 };
        let mut moved = false;
        for (row, values) in waiting.iter().zip(self.waiting_values.chunks_exact(self.sums)) {
            let group = (row.number as usize, row.day);
            // Where a key has moved, what another had known of its place may be wrong.
            if row.at != UNKNOWN && !moved {
                self.cells.add_in_row(row.at as usize, group, values);
            } else {
                moved |= self.cells.add(group.0, row.day, days, values);
            }
        }
        self.waits = 0;
        self.waiting_keys.clear();
        self.near = self.keys.is_near();
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
        self.near = self.keys.is_near();
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
