//! Groups shared by all threads, when there are too many for each thread to have its own.
//!
//! They are divided into shards by the hashes of their keys. Each shard has its own lock, so
//! threads rarely contend. Each key exists once, however many threads there are. When all groups
//! exceed the memory, one shard at a time is spilled to its file and starts empty again, so that
//! little more is written than does not fit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::AggregationError;
use crate::group::dictionary::DictColumn;
use crate::group::entry::Entry;
use crate::group::groups::Groups;
use crate::options::Options;
use crate::spill::merge::MemorySource;
use crate::spill::run_index::IndexLimits;
use crate::spill::runs::Runs;
use crate::text::{Span, Text, padded};
use crate::watch::Watch;

/// Shards per thread, so that a thread rarely finds one locked.
const SHARDS_PER_THREAD: usize = 8;

/// The indexes of all runs may take this part of the memory: one sixteenth.
const INDEX_PARTS: u64 = 16;

/// All shards may take this part of the memory in any case: a quarter. When the limit shrinks,
/// private groups may exceed all of it, and shards without any memory would be spilled as countless
/// runs.
const MIN_SHARD_PARTS: u64 = 4;

/// The memory budget of all groups, in bytes.
pub(crate) struct GroupBudget<'a> {
    max: u64,
    min: u64,
    /// Provides the current limit.
    watch: &'a Watch<'a>,
    /// The memory of the groups in all shards.
    in_shards: AtomicU64,
    /// The memory of the private groups of threads and of the indexes of runs.
    outside_shards: AtomicU64,
}

/// The shared groups of all threads.
pub(crate) struct Shards<'a> {
    all: Vec<Mutex<Shard>>,
    budget: &'a GroupBudget<'a>,
    /// The shards that these replace. They are spilled first, as threads stop adding to them.
    older: Option<&'a Shards<'a>>,
    /// The seed of all key hashes.
    seed: u64,
    sums: usize,
    dictionary: &'a DictColumn,
}

/// The groups of some of the keys.
struct Shard {
    groups: Groups,
    /// The spilled groups.
    runs: Runs,
    /// The memory of `groups` as it is included in the budget.
    memory: u64,
}

/// The final groups of all shards, in memory and in files.
pub(crate) struct Stored {
    pub(crate) groups: Vec<Groups>,
    pub(crate) runs: Vec<Runs>,
}

/// Buffered rows of one shard.
#[derive(Default)]
struct RowBuffer {
    rows: Vec<Entry>,
    values: Vec<i64>,
}

/// Buffered rows of a chunk by shard, so that each shard is locked once for all of them.
pub(crate) struct RowBuffers {
    buffers: Vec<RowBuffer>,
    /// The shards whose rows have to be added, or that single rows were added to, so that their
    /// memory has to be measured.
    pending: Vec<usize>,
}

impl<'a> Shards<'a> {
    /// Shards for groups encoded with `dictionary`. The memory in `min_limits` is that of the
    /// indexes of one shard; they get more if the budget permits it.
    pub(crate) fn new(
        options: &Options,
        dictionary: &'a DictColumn,
        budget: &'a GroupBudget<'a>,
        (min_limits, seed): (IndexLimits, u64),
    ) -> Self {
        let sums = options.sum.len();
        let count = (options.threads.max(1) * SHARDS_PER_THREAD).next_power_of_two();
        let memory = (budget.limit() / INDEX_PARTS) as usize / count;
        let memory = memory.max(min_limits.memory);
        let index_limits = IndexLimits { memory, ..min_limits };
        let shard = || Shard {
            groups: Groups::new(sums, dictionary.columns() > 0, seed),
            runs: Runs::new(&options.spill_folder, sums, index_limits),
            memory: 0,
        };
        let all = (0..count).map(|_| Mutex::new(shard())).collect();
        Self { all, budget, older: None, seed, sums, dictionary }
    }

    /// Sets the shards that these replace. They are spilled first.
    pub(crate) fn replacing(self, older: &'a Shards<'a>) -> Self {
        Self { older: Some(older), ..self }
    }

    /// The dictionary with which the groups are encoded.
    pub(crate) fn dictionary(&self) -> &'a DictColumn {
        self.dictionary
    }

    /// New groups with the encoding of the shards, for private use.
    pub(crate) fn groups(&self) -> Groups {
        Groups::new(self.sums, self.dictionary.columns() > 0, self.seed)
    }

    /// Empty row buffers for these shards.
    pub(crate) fn row_buffers(&self) -> RowBuffers {
        let buffers = self.all.iter().map(|_| RowBuffer::default()).collect();
        RowBuffers { buffers, pending: Vec::new() }
    }

    /// Charges `bytes` of groups outside the shards to the budget.
    pub(crate) fn charge(&self, bytes: u64) {
        adjust(&self.budget.outside_shards, 0, bytes);
    }

    /// The shard of the keys with this hash.
    #[inline(always)]
    fn of(&self, hash: u64) -> usize {
        // The low bits: the high ones select the slot within the shard.
        hash as usize & (self.all.len() - 1)
    }

    /// Adds all buffered rows. Their keys are spans of `data`. Skips shards that are locked and
    /// returns to them later.
    pub(crate) fn add_all(
        &self,
        buffers: &mut RowBuffers,
        data: &[u8],
        watch: &Watch<'_>,
    ) -> Result<(), AggregationError> {
        let RowBuffers { buffers, pending } = buffers;
        pending.extend((0..buffers.len()).filter(|at| !buffers[*at].rows.is_empty()));
        pending.sort_unstable();
        pending.dedup();
        while !pending.is_empty() {
            let count = pending.len();
            let mut added = Ok(());
            pending.retain(|at| {
                let Some(mut shard) = self.try_lock(*at) else { return true };
                let RowBuffer { rows, values } = &mut buffers[*at];
                if shard.memory == 0 {
                    shard.groups.reserve();
                }
                shard.groups.add_all(data, rows, self.dictionary.count(), values);
                rows.clear();
                values.clear();
                if added.is_ok() {
                    added = self.update_budget(&mut shard, watch);
                }
                false
            });
            added?;
            // If other threads have locked all remaining shards, wait for the first one.
            if pending.len() == count
                && let Some(first) = pending.first()
            {
                drop(self.lock(*first));
            }
        }
        Ok(())
    }

    /// Adds a single row. Its memory is measured by the next [`Shards::add_all`] of these buffers.
    pub(crate) fn add(&self, buffers: &mut RowBuffers, key: &[u8], dict_id: u32, values: &[i64]) {
        let padded = padded(key);
        let at = self.of(Text::new(&padded, Span::new(0, key.len())).hash(self.seed));
        self.lock(at).groups.add(key, dict_id, self.dictionary.count(), values);
        if buffers.pending.last() != Some(&at) {
            buffers.pending.push(at);
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

    /// Updates the budget after a change of the shard, and spills groups if it is exceeded.
    fn update_budget(&self, shard: &mut Shard, watch: &Watch<'_>) -> Result<(), AggregationError> {
        self.measure(shard);
        let is_full = shard.groups.is_full();
        let limit = self.budget.shard_limit();
        if self.budget.in_shards.load(Ordering::Relaxed) <= limit && !is_full {
            return Ok(());
        }
        if let Some(older) = self.older
            && older.spill_all(watch)?
            && !is_full
        {
            return Ok(());
        }
        // A small shard is not worth spilling: a larger one will be changed soon and frees more.
        if is_full || shard.memory >= limit / self.all.len() as u64 {
            self.spill(shard, watch)?;
        }
        Ok(())
    }

    /// Spills all groups, and returns whether there were any.
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
            let mut memory = MemorySource::all(&groups, &order, &checkpoint)?;
            let index_memory = shard.runs.memory() as u64;
            let written = shard.runs.write(&mut memory, &checkpoint);
            written.map_err(AggregationError::spill)?;
            watch.spilled(shard.runs.last_bytes());
            adjust(&self.budget.outside_shards, index_memory, shard.runs.memory() as u64);
        }
        // Replaced instead of cleared, which returns the memory to the system.
        shard.groups = self.groups();
        adjust(&self.budget.in_shards, shard.memory, 0);
        shard.memory = 0;
        Ok(())
    }

    /// Updates the memory of a shard in the budget.
    fn measure(&self, shard: &mut Shard) {
        let memory = shard.groups.memory();
        adjust(&self.budget.in_shards, shard.memory, memory);
        shard.memory = memory;
    }

    /// The groups of all shards, when no more are added.
    pub(crate) fn into_stored(self) -> Stored {
        let shards = self.all.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let (groups, runs) = shards.map(|shard| (shard.groups, shard.runs)).unzip();
        Stored { groups, runs }
    }
}

impl<'a> GroupBudget<'a> {
    /// A budget of `max` bytes, or fewer if `watch` limits it, but at least `min`.
    pub(crate) fn new(max: u64, min: u64, watch: &'a Watch<'a>) -> Self {
        let (in_shards, outside_shards) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { max, min, watch, in_shards, outside_shards }
    }

    /// The current limit for all groups.
    pub(crate) fn limit(&self) -> u64 {
        self.max.min(self.watch.memory()).max(self.min)
    }

    /// The current limit for the groups in shards.
    fn shard_limit(&self) -> u64 {
        let limit = self.limit();
        let outside = self.outside_shards.load(Ordering::Relaxed);
        limit.saturating_sub(outside).max(limit / MIN_SHARD_PARTS)
    }
}

/// Replaces a part of `from` bytes in the total `memory` by one of `to` bytes.
fn adjust(memory: &AtomicU64, from: u64, to: u64) {
    // The difference wraps if it is negative; adding it wraps back.
    memory.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
}

impl RowBuffers {
    /// Appends rows to the buffers of their shards. `values` are those of all rows.
    pub(crate) fn add(&mut self, shards: &Shards<'_>, rows: &[Entry], values: &[i64]) {
        for (row, values) in rows.iter().zip(values.chunks_exact(shards.sums)) {
            let buffer = &mut self.buffers[shards.of(row.hash)];
            buffer.rows.push(*row);
            buffer.values.extend_from_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Unlimited;

    #[test]
    fn single_rows_are_spilled_too() {
        let options = Options::new(vec!["a".to_owned()], vec!["b".to_owned()]);
        let (dictionary, watch) = (DictColumn::None, Watch::new(&Unlimited));
        let budget = GroupBudget::new(0, 0, &watch);
        let index_limits = IndexLimits { every: 1, memory: 0 };
        let shards = Shards::new(&options, &dictionary, &budget, (index_limits, 1));
        let mut buffers = shards.row_buffers();
        for number in 0..100_u8 {
            shards.add(&mut buffers, &[number], 0, &[1]);
        }
        shards.add_all(&mut buffers, &[], &watch).unwrap();
        let Stored { groups, runs } = shards.into_stored();
        assert!(groups.iter().all(|groups| groups.keys.len() == 0));
        assert!(runs.iter().any(|runs| runs.len() > 0));
    }
}
