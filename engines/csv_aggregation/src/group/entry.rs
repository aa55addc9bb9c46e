//! A row on its way to the groups.

use crate::text::{Span, Text};

/// As many rows are added at once: enough that the processor always has memory to wait for, and so
/// few that what is kept of them stays in its nearest cache.
pub(crate) const BATCH: usize = 256;

/// A row that is to be added; its values are elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    /// Of its key.
    pub(crate) hash: u64,
    /// Where its key stands; see [`Text`].
    pub(crate) key: Span,
    /// What is kept apart; see [`crate::group::dictionary`].
    pub(crate) dict_id: u32,
}

impl Entry {
    #[inline(always)]
    pub(crate) fn text(self, data: &[u8]) -> Text<'_> {
        Text::new(data, self.key)
    }
}
