//! Collects the groups from threads, shards and files once the input is read, and writes them.

use crate::collect::worker::WorkerOutput;
use crate::control::Outputs;
use crate::error::AggregationError;
use crate::group::dictionary::DictColumn;
use crate::group::groups::Groups;
use crate::options::Options;
use crate::spill::compaction::compact;
use crate::spill::ranges::{self, GroupSet, Ranges};
use crate::spill::shards::Stored;
use crate::watch::Watch;
use crate::write::result::{Layout, ResultWriter};

/// All groups of an aggregation.
pub(crate) struct Totals<'a> {
    /// The private groups of the threads.
    pub(crate) workers: Vec<WorkerOutput>,
    /// The shared groups that are encoded with `dictionary`.
    pub(crate) shards: Stored,
    /// The shared groups that are inline because the dictionary was closed.
    pub(crate) inline: Stored,
    pub(crate) dictionary: &'a DictColumn,
}

impl Totals<'_> {
    /// Writes the groups in order. Returns their number and the size of the output in bytes. A
    /// range of keys has about `size` bytes, or more if groups are in files, up to a part of
    /// `memory`.
    pub(crate) fn write(
        self,
        options: &Options,
        (size, memory): (u64, u64),
        outputs: &mut dyn Outputs,
        watch: &Watch<'_>,
    ) -> Result<(u64, u64), AggregationError> {
        let Self { workers, shards, inline, dictionary } = self;
        // Every thread can have a range in memory, even those that wait for their turn.
        let threads = options.threads.max(1);
        let max_spacing = ranges::max_size(size, memory, threads);
        let values = dictionary.values();
        let sources = workers.iter().map(|worker| &worker.groups).chain(&shards.groups);
        let runs = compact(shards.runs, max_spacing, threads, watch)?;
        let mut sets = vec![GroupSet {
            sources: sources.collect(),
            runs,
            order: dictionary.order(),
            decode: None,
        }];
        let mut layout = match (dictionary, &values) {
            (_, Some(values)) => Layout::Values(values),
            (DictColumn::Dates(_), None) => Layout::Dates,
            (_, None) => Layout::Inline,
        };
        if workers.iter().any(|worker| worker.inline.is_some()) {
            sets[0].decode = values.as_ref().map(|values| (values, options.group_by.len() - 1));
            let sources = workers.iter().filter_map(|worker| worker.inline.as_ref());
            let sources: Vec<&Groups> = sources.chain(&inline.groups).collect();
            let order = DictColumn::None.order();
            let runs = compact(inline.runs, max_spacing, threads, watch)?;
            sets.push(GroupSet { sources, runs, order, decode: None });
            layout = Layout::Inline;
        }
        let ranges = &Ranges::new(&sets, (size, threads), watch)?;
        ResultWriter { ranges, layout, options, watch }.write(outputs)
    }
}
