//! Groups that several threads share, the temporary files that take them where they need too much
//! memory, and the merge of both.

pub(crate) mod compaction;
pub(crate) mod merge;
pub(crate) mod ranges;
pub(crate) mod run_index;
pub(crate) mod runs;
pub(crate) mod shards;
pub(crate) mod sort;
