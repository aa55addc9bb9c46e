//! Groups shared by all threads, the temporary files to which they are spilled when memory is
//! short, and the merge of both.

pub(crate) mod compaction;
pub(crate) mod merge;
pub(crate) mod ranges;
pub(crate) mod run_index;
pub(crate) mod runs;
pub(crate) mod shards;
pub(crate) mod sort;
