//! The groups that one thread has found.

use super::Interrupted;
use super::cells::Cells;
use super::dates::Dates;
use super::group::Group;
use super::keys::Keys;
use super::sort;

/// Groups and their sums.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) keys: Keys,
    pub(super) dates: Dates,
    pub(super) cells: Cells,
    /// Whether a group has a day; else all have day 0.
    pub(super) dated: bool,
}

impl Groups {
    pub(super) fn new(sums: usize, dated: bool) -> Self {
        Self { keys: Keys::new(), dates: Dates::new(), cells: Cells::new(sums), dated }
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

    /// Sorts them. `checkpoint` is asked every some milliseconds.
    pub(super) fn order(
        &self,
        checkpoint: &dyn Fn() -> Result<(), Interrupted>,
    ) -> Result<Order, Interrupted> {
        let keys = sort::order(&self.keys, checkpoint)?;
        let (codes, days, ranks) = if self.dated { by_rank(&self.dates) } else { no_days() };
        Ok(Order { keys, codes, days, ranks })
    }

    /// Forgets them and keeps their memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.cells.clear();
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
        self.cells.in_order(key, &order.ranks, &order.days, scratch, |rank, sums| {
            group.days.push(order.codes[rank as usize]);
            group.sums.extend(sums);
        });
    }
}

/// The code and the number of the day of each rank, and the rank of each number.
fn by_rank(dates: &Dates) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut order: Vec<_> = (0_u32..).zip(dates.codes()).map(|(day, code)| (*code, day)).collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (_, day)) in (0..).zip(&order) {
        ranks[*day as usize] = rank;
    }
    let (codes, days) = order.into_iter().unzip();
    (codes, days, ranks)
}

fn no_days() -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    (vec![0], vec![0], vec![0])
}

/// The order of groups.
#[derive(Debug)]
pub(super) struct Order {
    /// The numbers of the keys in their order.
    pub(super) keys: Vec<u32>,
    /// The days in their order: codes, and numbers; and the place of each number.
    codes: Vec<u32>,
    days: Vec<u32>,
    ranks: Vec<u32>,
}
