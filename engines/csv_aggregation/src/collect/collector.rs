//! Where a thread puts the rows that it has taken apart.

use crate::collect::batch::Batch;
use crate::error::AggregationError;
use crate::group::groups::Groups;
use crate::spill::shards::{RowBuffers, Shards};
use crate::watch::Watch;

/// A thread keeps its groups for itself as long as they take no more memory in bytes: what is in its
/// processor's cache is added to quickest without others.
pub(crate) const OWN_MEMORY: u64 = 24 << 20;

/// The groups of a thread, and those that it shares with the others when there are many.
pub(crate) struct Collector<'a> {
    own: Groups,
    /// How much memory in bytes `own` may take.
    own_memory: u64,
    /// Whether all further groups are shared.
    shares: bool,
    buffers: RowBuffers,
    shards: &'a Shards<'a>,
}

impl<'a> Collector<'a> {
    /// Keeps up to `own_memory` bytes of groups from the others.
    pub(crate) fn new(shards: &'a Shards<'a>, own_memory: u64) -> Self {
        Self {
            own: shards.groups(),
            own_memory,
            shares: false,
            buffers: shards.row_buffers(),
            shards,
        }
    }

    /// Adds the rows of a batch, at the latest with [`Collector::end_chunk`]; their keys stand in
    /// `data`.
    pub(crate) fn add_batch(&mut self, data: &[u8], batch: &Batch) {
        let (rows, values) = batch.rows();
        if self.shares {
            self.buffers.add(self.shards, rows, values);
        } else {
            self.own.add_all(data, rows, self.shards.dictionary().count(), values);
        }
    }

    /// Adds a row of its own.
    pub(crate) fn add(&mut self, key: &[u8], dict_id: u32, values: &[i64]) {
        if self.shares {
            self.shards.add(&mut self.buffers, key, dict_id, values);
        } else {
            self.own.add(key, dict_id, self.shards.dictionary().count(), values);
        }
    }

    /// Adds all that waits before `data` changes.
    pub(crate) fn end_chunk(
        &mut self,
        data: &[u8],
        watch: &Watch<'_>,
    ) -> Result<(), AggregationError> {
        if self.shares {
            return self.shards.add_all(&mut self.buffers, data, watch);
        }
        let memory = self.own.memory();
        if memory > self.own_memory || self.own.is_full() {
            self.shares = true;
            self.shards.charge(memory);
        }
        Ok(())
    }

    /// The groups that it has not shared; none come any more.
    pub(crate) fn into_own(self) -> Groups {
        if !self.shares {
            self.shards.charge(self.own.memory());
        }
        self.own
    }
}
