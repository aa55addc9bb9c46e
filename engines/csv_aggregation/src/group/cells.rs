//! The sums of each key, one cell for each of its inners ([`crate::group::inner`]).
//!
//! A key with few of the inners has a small table of them; one with many has a row in which the inner
//! is the place, so that dense data needs neither hashes nor inners in memory. A key moves from one to
//! the other as it grows. Where groups have no inners, all have inner 0.
//!
//! Sums are kept in words of a size ([`crate::group::sums`]). One that would leave the range of the largest
//! words moves what it has into `large`, which is empty but for the strangest files, and starts at 0
//! again; so it is exact and never wraps.

mod likely;
mod place;

use std::collections::{BTreeMap, HashMap};

use self::likely::{BEHIND, Likely};
use self::place::Place;
use crate::group::key_group::KeyGroup;
use crate::group::order::InnerOrder;
use crate::radix::sort_by_upper_half;
use crate::words::Word;

/// A table up to this size is searched from its start on, a larger one by hash.
const SEARCHED: usize = 8;
/// A key becomes a row when that takes no more than so many times the memory of its table. Rows
/// are much faster, and the tables given up on the way to them would take as much.
const ROW_FACTOR: usize = 8;

/// A sum does not fit into its word. Nothing was added.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// The cells of all keys.
#[derive(Debug)]
pub(crate) struct Cells<W> {
    /// How many sums a cell has.
    sums: usize,
    /// Whether keys have several inners. Those that have none need no places: the cell of each stands
    /// where its number tells.
    has_inner: bool,
    places: Vec<Place>,
    /// Rows are sums only; the cells of a table are the inner, then the sums.
    words: Vec<W>,
    /// For each length a piece of `words` that was given up; its first word tells the next one.
    free: BTreeMap<usize, W>,
    /// What is to be added to a sum, by key, inner and sum.
    large: HashMap<(u32, u32, u32), i128>,
    /// Of the rows that are added: where their cells most likely are, and which keys have moved since.
    likely: Vec<Likely>,
    moved: Vec<u32>,
}

impl<W: Word> Cells<W> {
    pub(crate) fn new(sums: usize, has_inner: bool) -> Self {
        Self {
            sums,
            has_inner,
            places: Vec::new(),
            words: Vec::new(),
            free: BTreeMap::new(),
            large: HashMap::new(),
            likely: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// The same cells with the largest words.
    pub(crate) fn widened(&mut self) -> Cells<i64> {
        let widened = |word: &W| match *word == W::ABSENT {
            true => i64::ABSENT,
            false => word.wide(),
        };
        // As much address space as there was; see [`Cells::reserve`].
        let mut words = Vec::with_capacity(self.words.capacity());
        words.extend(self.words.iter().map(widened));
        Cells {
            sums: self.sums,
            has_inner: self.has_inner,
            places: std::mem::take(&mut self.places),
            words,
            free: self.free.iter().map(|(length, at)| (*length, widened(at))).collect(),
            large: std::mem::take(&mut self.large),
            likely: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Like [`crate::group::keys::Keys::reserve`].
    pub(crate) fn reserve(&mut self, bytes: usize) {
        let _ = self.words.try_reserve(bytes / size_of::<W>());
        let _ = self.places.try_reserve(bytes / size_of::<Place>());
    }

    /// The memory that they take in bytes; see [`crate::group::keys::Keys::memory`].
    pub(crate) fn memory(&self) -> usize {
        self.places.len() * size_of::<Place>()
            + self.words.len() * size_of::<W>()
            + self.large.capacity() * 2 * size_of::<((u32, u32, u32), i128)>()
    }

    /// Whether the places could not be kept of many more.
    pub(crate) fn is_full(&self) -> bool {
        self.words.len() > (Likely::SEARCHED / 2) as usize
    }

    /// Adds `values` to the cell of `inner` of the key, and returns whether the key moved. `inners` is
    /// how many inners there are so far.
    #[inline]
    pub(crate) fn add(
        &mut self,
        key: usize,
        inner: u32,
        inners: usize,
        values: &[i64],
    ) -> Result<bool, TooLarge> {
        if !self.has_inner {
            let at = key * self.sums;
            if self.words.len() <= at {
                self.words.resize(at + self.sums, W::ABSENT);
            }
            return match self.words[at] == W::ABSENT {
                true => self.insert_at(at, (key, inner), values),
                false => self.add_at(at, (key, inner), values),
            }
            .map(|()| false);
        }
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => {
                self.places.resize(key + 1, Place::default());
                Place::default()
            }
        };
        match self.find(place, inner) {
            Ok(at) => self.add_at(at, (key, inner), values).map(|()| false),
            Err(free) => self.insert(free, (key, inner), inners, values),
        }
    }

    /// Adds `values` to the cell whose sums are at `at`.
    #[inline]
    fn add_at(
        &mut self,
        at: usize,
        (key, inner): (usize, u32),
        values: &[i64],
    ) -> Result<(), TooLarge> {
        let cell = &mut self.words[at..at + self.sums];
        let mut all = cell.iter().zip(values);
        if !W::LARGEST && all.any(|(sum, value)| sum.plus(*value).is_none()) {
            return Err(TooLarge);
        }
        for (index, (sum, value)) in cell.iter_mut().zip(values).enumerate() {
            match sum.plus(*value) {
                Some(total) => *sum = total,
                None => {
                    let entry = self.large.entry((key as u32, inner, index as u32)).or_default();
                    *entry += i128::from(sum.wide()) + i128::from(*value);
                    *sum = W::number(0);
                }
            }
        }
        Ok(())
    }

    /// Where the sums of the inner's cell are, or else where those of a new one would be, if there is a
    /// place for it.
    #[inline]
    fn find(&self, place: Place, inner: u32) -> Result<usize, Option<usize>> {
        let start = place.at as usize;
        if place.is_row() {
            if inner >= place.room() {
                return Err(None);
            }
            let at = start + inner as usize * self.sums;
            return if self.words[at] == W::ABSENT { Err(Some(at)) } else { Ok(at) };
        }
        let size = 1 + self.sums;
        let (room, mut index) = (place.room() as usize, first_index(inner, place.room()));
        while index < room {
            let at = start + index * size;
            if self.words[at] == W::number(inner) {
                return Ok(at + 1);
            }
            if self.words[at] == W::ABSENT {
                return Err(Some(at + 1));
            }
            index += 1;
            if room > SEARCHED {
                index &= room - 1;
            }
        }
        Err(None)
    }

    /// Makes a cell, and returns whether the key moved. `free` is where its sums go if there is room.
    #[inline(never)]
    fn insert(
        &mut self,
        free: Option<usize>,
        (key, inner): (usize, u32),
        inners: usize,
        values: &[i64],
    ) -> Result<bool, TooLarge> {
        Self::check(values)?;
        let place = self.places[key];
        // A table with empty places is found through quickly.
        let is_crowded =
            !place.is_row() && place.room() as usize > SEARCHED && place.len() * 2 >= place.room();
        let (at, moved) = match free {
            Some(at) if !is_crowded => (at, false),
            _ => {
                self.move_to_larger(key, inners);
                (self.free_cell(key, inner), true)
            }
        };
        self.count(key, inner, at);
        self.fill(at, (key, inner), values);
        Ok(moved)
    }

    /// Where the sums of a new cell go, for which there is room.
    fn free_cell(&self, key: usize, inner: u32) -> usize {
        let place = self.places[key];
        let start = place.at as usize;
        if place.is_row() {
            return start + inner as usize * self.sums;
        }
        let size = 1 + self.sums;
        let mut index = first_index(inner, place.room());
        while self.words[start + index * size] != W::ABSENT {
            index = (index + 1) & (place.room() as usize - 1);
        }
        start + index * size + 1
    }

    /// Counts a new cell, whose sums are at `at`: a table tells its inner before them.
    #[inline]
    fn count(&mut self, key: usize, inner: u32, at: usize) {
        if !self.places[key].is_row() {
            self.words[at - 1] = W::number(inner);
            self.places[key].add_cell();
        }
    }

    /// Whether words can hold these.
    fn check(values: &[i64]) -> Result<(), TooLarge> {
        let fit = W::LARGEST || values.iter().all(|value| W::of(*value).is_some());
        if fit { Ok(()) } else { Err(TooLarge) }
    }

    /// Fills a new cell.
    #[inline(never)]
    fn insert_at(&mut self, at: usize, of: (usize, u32), values: &[i64]) -> Result<(), TooLarge> {
        Self::check(values)?;
        self.fill(at, of, values);
        Ok(())
    }

    /// Fills a new cell with values that were checked.
    #[inline]
    fn fill(&mut self, at: usize, (key, inner): (usize, u32), values: &[i64]) {
        for (index, (sum, value)) in self.words[at..].iter_mut().zip(values).enumerate() {
            *sum = W::of(*value).unwrap_or_else(|| {
                let entry = self.large.entry((key as u32, inner, index as u32)).or_default();
                *entry += i128::from(*value);
                W::number(0)
            });
        }
    }

    /// Gives the key room for more cells.
    fn move_to_larger(&mut self, key: usize, inners: usize) {
        let old = self.places[key];
        let cells = match old.is_row() {
            true => (0..old.room() as usize).filter(|at| self.cell(old, *at).is_some()).count(),
            false => old.len() as usize,
        };
        let table = (cells + 1).next_power_of_two();
        let crowded = table > SEARCHED && cells * 2 >= table;
        let table = if crowded { table * 2 } else { table };
        let row = inners.next_multiple_of(if inners > 32 { 32 } else { 1 });
        let as_row = row * self.sums <= ROW_FACTOR * table * (1 + self.sums) || inners == 1;
        let room = if as_row { row } else { table };
        let at = self.take(self.length(room, as_row));
        self.places[key] = if as_row { Place::row(at, room) } else { Place::table(at, room) };
        for index in 0..old.room() as usize {
            if let Some((inner, from)) = self.cell(old, index) {
                let to = self.free_cell(key, inner);
                self.count(key, inner, to);
                self.words.copy_within(from..from + self.sums, to);
            }
        }
        let length = self.length(old.room() as usize, old.is_row());
        if length > 0 {
            let next = self.free.insert(length, W::number(old.at));
            self.words[old.at as usize] = next.unwrap_or(W::ABSENT);
        }
    }

    /// How many words a place with this room takes.
    fn length(&self, room: usize, row: bool) -> usize {
        match row {
            true => room * self.sums,
            false if room > SEARCHED => (room + BEHIND) * (1 + self.sums),
            false => room * (1 + self.sums),
        }
    }

    /// A piece of `length` words, all [`Word::ABSENT`].
    fn take(&mut self, length: usize) -> u32 {
        if let Some(free) = self.free.get_mut(&length)
            && *free != W::ABSENT
        {
            let at = free.wide() as usize;
            *free = self.words[at];
            self.words[at..at + length].fill(W::ABSENT);
            return at as u32;
        }
        let at = self.words.len();
        self.words.resize(at + length, W::ABSENT);
        at as u32
    }

    /// The inner of the cell at `index` of a place and where its sums are, if there is a cell.
    #[inline]
    fn cell(&self, place: Place, index: usize) -> Option<(u32, usize)> {
        let start = place.at as usize;
        if place.is_row() {
            let at = start + index * self.sums;
            return (self.words[at] != W::ABSENT).then_some((index as u32, at));
        }
        let at = start + index * (1 + self.sums);
        (self.words[at] != W::ABSENT).then_some((self.words[at].wide() as u32, at + 1))
    }

    /// Appends every cell of the key to `group`, in the order of the inners.
    pub(crate) fn read(
        &self,
        key: usize,
        order: &InnerOrder,
        group: &mut KeyGroup,
        scratch: &mut [Vec<u64>; 2],
    ) {
        if !self.has_inner {
            return self.push(group, (key, 0), 0, key * self.sums);
        }
        let place = self.places[key];
        if place.is_row() {
            let inners =
                order.codes.iter().zip(&order.inners).filter(|(_, inner)| **inner < place.room());
            for (code, inner) in inners {
                if let Some((inner, at)) = self.cell(place, *inner as usize) {
                    self.push(group, (key, inner), *code, at);
                }
            }
            return;
        }
        let [cells, other] = scratch;
        self.cells_of_table(place, cells);
        // Its rank takes the inner's place.
        for cell in &mut *cells {
            let rank = order.ranks[(*cell >> 32) as usize];
            *cell = u64::from(rank) << 32 | u64::from(*cell as u32);
        }
        sort_by_upper_half(cells, other, order.ranks.len() as u32);
        for cell in &*cells {
            let (rank, at) = ((*cell >> 32) as usize, *cell as u32 as usize);
            self.push(group, (key, order.inners[rank]), order.codes[rank], at);
        }
    }

    /// Finds the cells of a table: the upper half of each word is an inner, the lower one where its
    /// sums are.
    fn cells_of_table(&self, place: Place, found: &mut Vec<u64>) {
        found.clear();
        found.resize(place.room() as usize, 0);
        let mut count = 0;
        // No branches: as many places are empty as not.
        for index in 0..place.room() as usize {
            let at = place.at as usize + index * (1 + self.sums);
            let inner = self.words[at];
            found[count] = u64::from(inner.wide() as u32) << 32 | (at as u64 + 1);
            count += usize::from(inner != W::ABSENT);
        }
        found.truncate(count);
    }

    /// Appends the cell whose sums are at `at`.
    #[inline]
    fn push(&self, group: &mut KeyGroup, (key, inner): (usize, u32), code: u32, at: usize) {
        group.inners.push(code);
        let sums = &self.words[at..at + self.sums];
        group.sums.extend(sums.iter().map(|sum| i128::from(sum.wide())));
        if self.large.is_empty() {
            return;
        }
        let start = group.sums.len() - self.sums;
        for (index, sum) in group.sums[start..].iter_mut().enumerate() {
            *sum += self.large.get(&(key as u32, inner, index as u32)).copied().unwrap_or_default();
        }
    }
}

/// Where an inner is first looked for in a table.
#[inline]
fn first_index(inner: u32, room: u32) -> usize {
    if room as usize <= SEARCHED {
        return 0;
    }
    (inner.wrapping_mul(0x9E37_79B9) >> (32 - room.ilog2())) as usize
}
