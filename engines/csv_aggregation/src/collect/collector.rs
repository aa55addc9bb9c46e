//! Adds the parsed rows of a thread to its private groups, or to shared ones once there are too
//! many.

use crate::collect::batch::Batch;
use crate::error::AggregationError;
use crate::group::groups::Groups;
use crate::spill::shards::{RowBuffers, Shards};
use crate::watch::Watch;

/// The limit of the memory of a thread's private groups in bytes. Up to there, private groups are
/// fastest: they need no locks and stay in the cache.
pub(crate) const PRIVATE_MEMORY: u64 = 24 << 20;

/// The private groups of a thread, and its access to the shared ones.
pub(crate) struct Collector<'a> {
    private: Groups,
    /// The limit of the memory of `private` in bytes.
    private_memory: u64,
    /// Whether further rows are added to the shards.
    shares: bool,
    buffers: RowBuffers,
    shards: &'a Shards<'a>,
}

impl<'a> Collector<'a> {
    /// Keeps up to `private_memory` bytes of groups private.
    pub(crate) fn new(shards: &'a Shards<'a>, private_memory: u64) -> Self {
        let (private, buffers) = (shards.groups(), shards.row_buffers());
        Self { private, private_memory, shares: false, buffers, shards }
    }

    /// Adds the rows of a batch, whose keys are spans of `data`. Rows for the shards are buffered
    /// until [`Collector::end_chunk`].
    pub(crate) fn add_batch(&mut self, data: &[u8], batch: &Batch) {
        let (rows, values) = batch.rows();
        if self.shares {
            self.buffers.add(self.shards, rows, values);
        } else {
            self.private.add_all(data, rows, self.shards.dictionary().count(), values);
        }
    }

    /// Adds a single row.
    pub(crate) fn add(&mut self, key: &[u8], dict_id: u32, values: &[i64]) {
        if self.shares {
            self.shards.add(&mut self.buffers, key, dict_id, values);
        } else {
            self.private.add(key, dict_id, self.shards.dictionary().count(), values);
        }
    }

    /// Adds the buffered rows, whose keys are spans of `data`, and checks the memory of private
    /// groups.
    pub(crate) fn end_chunk(
        &mut self,
        data: &[u8],
        watch: &Watch<'_>,
    ) -> Result<(), AggregationError> {
        if self.shares {
            return self.shards.add_all(&mut self.buffers, data, watch);
        }
        let memory = self.private.memory();
        if memory > self.private_memory || self.private.is_full() {
            self.shares = true;
            self.shards.charge(memory);
        }
        Ok(())
    }

    /// The final private groups.
    pub(crate) fn into_private(self) -> Groups {
        if !self.shares {
            self.shards.charge(self.private.memory());
        }
        self.private
    }
}
