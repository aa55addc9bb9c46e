//! Groups that all threads share, for those that are too many for each thread to have its own.
//!
//! They are cut into shards by the hashes of their keys, each with a lock of its own, so that threads
//! seldom want the same one; each key is there once, however many threads there are. Where all take
//! too much memory, a shard moves to a file and starts anew, so that little more is written than does
//! not fit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::AggregationError;
use crate::group::dictionary::DictColumn;
use crate::group::entry::Entry;
use crate::group::groups::Groups;
use crate::options::Options;
use crate::spill::merge::Memory;
use crate::spill::run_index::IndexLimits;
use crate::spill::runs::Runs;
use crate::text::{Span, Text, padded};
use crate::watch::Watch;

/// As many shards for each thread, so that a thread seldom finds one locked.
const FOR_EACH_THREAD: usize = 8;

/// The marks of all runs take such a part of the memory at most.
const FOR_MARKS: u64 = 16;

/// Those of all shards may take such a part of it in any case: what others take may be more than
/// all when the limit becomes less, and shards that may have nothing would go to countless files.
const FOR_SHARDS: u64 = 4;

/// The memory of all groups, in bytes.
pub(crate) struct GroupBudget<'a> {
    most: u64,
    least: u64,
    /// Says how much it is now.
    watch: &'a Watch<'a>,
    /// What the groups of all shards take.
    groups: AtomicU64,
    /// What the groups that threads keep for themselves and the marks of runs take.
    others: AtomicU64,
}

/// The groups of all threads.
pub(crate) struct Shards<'a> {
    all: Vec<Mutex<Shard>>,
    budget: &'a GroupBudget<'a>,
    /// Others, to which no groups are added any more: they move to files before these do.
    older: Option<&'a Shards<'a>>,
    /// That of the keys' hashes, wherever they are.
    seed: u64,
    sums: usize,
    dictionary: &'a DictColumn,
}

/// The groups of some of the keys.
struct Shard {
    groups: Groups,
    /// What did not fit into memory.
    runs: Runs,
    /// What it adds to the memory of all.
    memory: u64,
}

/// The groups of all shards, in memory and in files.
pub(crate) struct Stored {
    pub(crate) groups: Vec<Groups>,
    pub(crate) runs: Vec<Runs>,
}

/// Rows for one shard.
#[derive(Default)]
struct List {
    rows: Vec<Entry>,
    values: Vec<i64>,
}

/// Rows of one chunk for all shards.
pub(crate) struct Lists {
    lists: Vec<List>,
    /// The shards whose rows are still to be added, or that got rows one by one and are still to be
    /// counted.
    open: Vec<usize>,
}

impl<'a> Shards<'a> {
    /// Shards for groups of which `dictionary` is kept apart.
    pub(crate) fn new(
        options: &Options,
        dictionary: &'a DictColumn,
        budget: &'a GroupBudget<'a>,
        (least_marking, seed): (IndexLimits, u64),
    ) -> Self {
        let sums = options.sum.len();
        let count = (options.threads.max(1) * FOR_EACH_THREAD).next_power_of_two();
        let memory = (budget.limit() / FOR_MARKS) as usize / count;
        let memory = memory.max(least_marking.memory);
        let index_limits = IndexLimits { memory, ..least_marking };
        let shard = || Shard {
            groups: Groups::new(sums, dictionary.columns() > 0, seed),
            runs: Runs::new(&options.spill_folder, sums, index_limits),
            memory: 0,
        };
        let all = (0..count).map(|_| Mutex::new(shard())).collect();
        Self { all, budget, older: None, seed, sums, dictionary }
    }

    /// Others, to which no groups are added once there are any in these.
    pub(crate) fn after(self, older: &'a Shards<'a>) -> Self {
        Self { older: Some(older), ..self }
    }

    /// What is kept apart of the groups.
    pub(crate) fn dictionary(&self) -> &'a DictColumn {
        self.dictionary
    }

    /// New groups, which are none of the shards'.
    pub(crate) fn groups(&self) -> Groups {
        Groups::new(self.sums, self.dictionary.columns() > 0, self.seed)
    }

    /// Empty lists for them.
    pub(crate) fn lists(&self) -> Lists {
        Lists { lists: self.all.iter().map(|_| List::default()).collect(), open: Vec::new() }
    }

    /// Leaves `bytes` of the memory to groups elsewhere.
    pub(crate) fn leave(&self, bytes: u64) {
        change(&self.budget.others, 0, bytes);
    }

    /// The shard of the keys with this hash.
    #[inline(always)]
    fn of(&self, hash: u64) -> usize {
        // The upper bits tell the place within the shard.
        hash as usize & (self.all.len() - 1)
    }

    /// Adds the rows of all lists, whose keys stand in `data`.
    pub(crate) fn add_all(
        &self,
        lists: &mut Lists,
        data: &[u8],
        watch: &Watch<'_>,
    ) -> Result<(), AggregationError> {
        let Lists { lists, open } = lists;
        open.extend((0..lists.len()).filter(|at| !lists[*at].rows.is_empty()));
        open.sort_unstable();
        open.dedup();
        while !open.is_empty() {
            let before = open.len();
            let mut added = Ok(());
            open.retain(|at| {
                let Some(mut shard) = self.try_lock(*at) else { return true };
                let List { rows, values } = &mut lists[*at];
                if shard.memory == 0 {
                    shard.groups.reserve();
                }
                shard.groups.add_all(data, rows, self.dictionary.count(), values);
                rows.clear();
                values.clear();
                if added.is_ok() {
                    added = self.settle(&mut shard, watch);
                }
                false
            });
            added?;
            // Where others hold all that are left, the first of them is waited for.
            if open.len() == before
                && let Some(first) = open.first()
            {
                drop(self.lock(*first));
            }
        }
        Ok(())
    }

    /// Adds one row. What it takes is counted with [`Shards::add_all`] of these lists.
    pub(crate) fn add(&self, lists: &mut Lists, key: &[u8], dict_id: u32, values: &[i64]) {
        let padded = padded(key);
        let at = self.of(Text::new(&padded, Span::new(0, key.len())).hash(self.seed));
        self.lock(at).groups.add(key, dict_id, self.dictionary.count(), values);
        if lists.open.last() != Some(&at) {
            lists.open.push(at);
        }
    }

    fn try_lock(&self, at: usize) -> Option<MutexGuard<'_, Shard>> {
        match self.all[at].try_lock() {
            Ok(shard) => Some(shard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self, at: usize) -> MutexGuard<'_, Shard> {
        self.all[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the memory of a shard anew, and moves its groups to a file where all take too much.
    fn settle(&self, shard: &mut Shard, watch: &Watch<'_>) -> Result<(), AggregationError> {
        self.count(shard);
        let is_full = shard.groups.is_full();
        let room = self.budget.room();
        if self.budget.groups.load(Ordering::Relaxed) <= room && !is_full {
            return Ok(());
        }
        if let Some(older) = self.older
            && older.spill_all(watch)?
            && !is_full
        {
            return Ok(());
        }
        // Another shard that is larger frees more.
        if is_full || shard.memory >= room / self.all.len() as u64 {
            self.spill(shard, watch)?;
        }
        Ok(())
    }

    /// Moves all groups to files, and tells whether there were any.
    fn spill_all(&self, watch: &Watch<'_>) -> Result<bool, AggregationError> {
        let mut any = false;
        for at in 0..self.all.len() {
            let mut shard = self.lock(at);
            if shard.memory > 0 {
                any = true;
                self.spill(&mut shard, watch)?;
            }
        }
        Ok(any)
    }

    fn spill(&self, shard: &mut Shard, watch: &Watch<'_>) -> Result<(), AggregationError> {
        let checkpoint = || watch.checkpoint();
        let order = self.dictionary.order();
        {
            let groups = [&shard.groups];
            let mut memory = Memory::all(&groups, &order, &checkpoint)?;
            let marks = shard.runs.memory() as u64;
            let written = shard.runs.write(&mut memory, &checkpoint);
            written.map_err(AggregationError::spill)?;
            change(&self.budget.others, marks, shard.runs.memory() as u64);
        }
        // Not cleared: what it had reserved is given back.
        shard.groups = self.groups();
        change(&self.budget.groups, shard.memory, 0);
        shard.memory = 0;
        Ok(())
    }

    fn count(&self, shard: &mut Shard) {
        let memory = shard.groups.memory();
        change(&self.budget.groups, shard.memory, memory);
        shard.memory = memory;
    }

    /// What the shards have; no groups are added any more.
    pub(crate) fn into_stored(self) -> Stored {
        let shards = self.all.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let (groups, runs) = shards.map(|shard| (shard.groups, shard.runs)).unzip();
        Stored { groups, runs }
    }
}

impl<'a> GroupBudget<'a> {
    /// For `most` bytes, or as many as `watch` says, but `least` in any case.
    pub(crate) fn new(most: u64, least: u64, watch: &'a Watch<'a>) -> Self {
        Self { most, least, watch, groups: AtomicU64::new(0), others: AtomicU64::new(0) }
    }

    /// How much all groups may take now.
    pub(crate) fn limit(&self) -> u64 {
        self.most.min(self.watch.memory()).max(self.least)
    }

    /// How much the groups of all shards may take now.
    fn room(&self) -> u64 {
        let limit = self.limit();
        limit.saturating_sub(self.others.load(Ordering::Relaxed)).max(limit / FOR_SHARDS)
    }
}

/// What took so many bytes of `memory` takes another number of them.
fn change(memory: &AtomicU64, from: u64, to: u64) {
    // Wraps where it becomes less, and is right again with the sum.
    memory.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
}

impl Lists {
    /// Puts rows on the lists of their shards; `values` are those of all rows.
    pub(crate) fn add(&mut self, shards: &Shards<'_>, rows: &[Entry], values: &[i64]) {
        for (row, values) in rows.iter().zip(values.chunks_exact(shards.sums)) {
            let list = &mut self.lists[shards.of(row.hash)];
            list.rows.push(*row);
            list.values.extend_from_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::tests::Free;

    #[test]
    fn rows_that_come_one_by_one_go_to_files_too() {
        let options = Options::new(vec!["a".to_owned()], vec!["b".to_owned()]);
        let (dictionary, watch) = (DictColumn::None, Watch::new(&Free));
        let budget = GroupBudget::new(0, 0, &watch);
        let index_limits = IndexLimits { every: 1, memory: 0 };
        let shards = Shards::new(&options, &dictionary, &budget, (index_limits, 1));
        let mut lists = shards.lists();
        for number in 0..100_u8 {
            shards.add(&mut lists, &[number], 0, &[1]);
        }
        shards.add_all(&mut lists, &[], &watch).unwrap();
        let Stored { groups, runs } = shards.into_stored();
        assert!(groups.iter().all(|groups| groups.keys.len() == 0));
        assert!(runs.iter().any(|runs| runs.len() > 0));
    }
}
