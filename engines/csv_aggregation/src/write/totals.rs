//! All groups when the input is read, wherever they are, on their way to the output.

use crate::collect::worker::Found;
use crate::control::Outputs;
use crate::error::AggregationError;
use crate::group::dictionary::DictColumn;
use crate::group::groups::Groups;
use crate::options::Options;
use crate::spill::compaction::compact;
use crate::spill::ranges::{self, GroupSet, Ranges};
use crate::spill::shards::Stored;
use crate::watch::Watch;
use crate::write::result::{Layout, Lines};

/// All groups.
pub(crate) struct Totals<'a> {
    /// Those that threads have kept for themselves.
    pub(crate) found: Vec<Found>,
    /// Those that they share, without what is kept apart of them, and whole ones.
    pub(crate) shards: Stored,
    pub(crate) whole: Stored,
    pub(crate) dictionary: &'a DictColumn,
}

impl Totals<'_> {
    /// Writes them in order; answers how many there are and the size of the output in bytes. A
    /// range of keys has about `size` bytes, and more where groups are in files, up to a part of
    /// `memory`.
    pub(crate) fn write(
        self,
        options: &Options,
        (size, memory): (u64, u64),
        outputs: &mut dyn Outputs,
        watch: &Watch<'_>,
    ) -> Result<(u64, u64), AggregationError> {
        let Self { found, shards, whole, dictionary } = self;
        // Those that wait for their turn while lines are made take memory then too.
        let threads = options.threads.max(1);
        let largest = ranges::max_size(size, memory, threads);
        let values = dictionary.values();
        let own = found.iter().map(|found| &found.groups).chain(&shards.groups);
        let runs = compact(shards.runs, largest, threads, watch)?;
        let mut sets = vec![GroupSet {
            sources: own.collect(),
            runs,
            order: dictionary.order(),
            decode: None,
        }];
        let mut layout = match (dictionary, &values) {
            (_, Some(values)) => Layout::Values(values),
            (DictColumn::Dates(_), None) => Layout::Dates,
            (_, None) => Layout::Inline,
        };
        if found.iter().any(|found| found.whole.is_some()) {
            sets[0].decode = values.as_ref().map(|values| (values, options.group_by.len() - 1));
            let own = found.iter().filter_map(|found| found.whole.as_ref()).chain(&whole.groups);
            let (sources, order) = (own.collect::<Vec<&Groups>>(), DictColumn::None.order());
            let runs = compact(whole.runs, largest, threads, watch)?;
            sets.push(GroupSet { sources, runs, order, decode: None });
            layout = Layout::Inline;
        }
        let ranges = &Ranges::new(&sets, (size, threads), watch)?;
        Lines { ranges, layout, options, watch }.write(outputs)
    }
}
