//! Parsed rows that are to be added to groups.

use crate::text::{Span, Text};

/// The number of rows that are added together: enough to keep the memory system busy with
/// prefetches, and few enough that the batch stays in the L1 cache.
pub(crate) const BATCH: usize = 256;

/// A row that is to be added. Its values are stored separately.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    /// The hash of the key.
    pub(crate) hash: u64,
    /// The span of the key; see [`Text`].
    pub(crate) key: Span,
    /// The dictionary id of the last column; see [`crate::group::dictionary`].
    pub(crate) dict_id: u32,
}

impl Entry {
    #[inline(always)]
    pub(crate) fn text(self, data: &[u8]) -> Text<'_> {
        Text::new(data, self.key)
    }
}
