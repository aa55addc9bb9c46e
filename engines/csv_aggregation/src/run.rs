//! Runs an aggregation from its input to its outputs.
//!
//! # Invariants
//! - The result depends only on the rows: not on their order, on how the input arrives, on the
//!   number of threads or on the memory.
//! - Memory is bounded for any input: by [`Options::memory_limit`] for the groups and the indexes
//!   of spilled ones, plus about a quarter of that while spilled groups are merged and written,
//!   plus a few times [`csv_input::MAX_RECORD`] per thread.
//! - The result is written only after the whole input was read and is valid. A sum out of range is
//!   found while writing: the output before the error must be discarded.
//! - An interrupt takes effect within milliseconds, unless the input or an output blocks.
//! - No temporary file outlives the aggregation.
//!
//! # Not here
//! Opening the input, and making the outputs durable.

use std::io::{Cursor, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;

use csv_input::{Dialect, Text};

use crate::collect::collector::PRIVATE_MEMORY;
use crate::collect::reading::read;
use crate::collect::reports::{ReorderLimits, Reports};
use crate::collect::worker::Shared;
use crate::control::{Control, Outputs};
use crate::error::AggregationError;
use crate::group::dictionary::DictColumn;
use crate::group::key_table::KeyTable;
use crate::group::values::MAX_VALUES;
use crate::options::Options;
use crate::read::decompress::{Counted, decompressed};
use crate::read::input::Input;
use crate::spill::run_index::IndexLimits;
use crate::spill::shards::{GroupBudget, Shards};
use crate::watch::Watch;
use crate::write::totals::Totals;

/// The size of a chunk in bytes. It fits a core's cache, and the cost of taking a chunk is small
/// compared to that of processing it.
const CHUNK: usize = 256 << 10;
/// The least memory of the groups in bytes, so that a small limit does not lead to countless runs.
const MIN_MEMORY: u64 = 8 << 20;
/// The memory of the groups in a range of keys, in bytes. The cost of opening a range is small
/// compared to that of merging it, and its lines stay in the cache until they are written.
const RANGE: u64 = 256 << 10;
/// The distance of index entries of spilled runs, and the least memory of a shard's indexes.
/// Sparser indexes save memory, but more is read than needed.
const INDEX_LIMITS: IndexLimits = IndexLimits { every: 16 << 10, memory: 4 << 10 };
/// The limits of the reports that wait for earlier chunks. They are rarely reached, because a
/// thread that waits does nothing else.
const REORDER_LIMITS: ReorderLimits = ReorderLimits { chunks: 1 << 10, bytes: 16 << 20 };

/// Statistics of an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// The number of rows after the header, including rejected rows but not blank lines.
    pub rows_read: u64,
    /// The number of invalid rows that were skipped.
    pub rows_rejected: u64,
    /// The number of rows of the result after its header.
    pub groups: u64,
    /// The size of the result in bytes.
    pub output_size: u64,
    /// How the fields of the input were separated.
    pub dialect: Dialect,
}

/// Reads the CSV file `input`, which may be compressed with gzip or zstd, and writes its sums by
/// group, sorted by the groups in byte order.
///
/// # Errors
/// The file or one of its rows is invalid, a limit is exceeded, reading or writing failed, or
/// `control` interrupted the aggregation. The outputs must be discarded then.
pub fn aggregate(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    control: &dyn Control,
) -> Result<Summary, AggregationError> {
    aggregate_in_chunks(input, options, outputs, control, Sizes::REAL)
}

/// Sizes and limits, which tests make smaller.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) chunk: usize,
    pub(crate) min_memory: u64,
    pub(crate) range: u64,
    /// The memory is the least memory of the indexes of a shard.
    pub(crate) index_limits: IndexLimits,
    pub(crate) max_values: usize,
    pub(crate) reorder: ReorderLimits,
}

impl Sizes {
    pub(crate) const REAL: Self = Self {
        chunk: CHUNK,
        min_memory: MIN_MEMORY,
        range: RANGE,
        index_limits: INDEX_LIMITS,
        max_values: MAX_VALUES,
        reorder: REORDER_LIMITS,
    };
}

/// [`aggregate`] with other sizes and limits.
pub(crate) fn aggregate_in_chunks(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    control: &dyn Control,
    sizes: Sizes,
) -> Result<Summary, AggregationError> {
    if options.group_by.is_empty() || options.sum.is_empty() {
        return Err(AggregationError::NoColumns);
    }
    let watch = Watch::new(control);
    let mut input = Counted::new(input, &watch);
    let mut start = Vec::new();
    let read_start = (&mut input).take(csv_input::START_BYTES as u64).read_to_end(&mut start);
    read_start.map_err(AggregationError::read)?;
    let compression = csv_input::compression(&start);
    let input = Cursor::new(start).chain(input);
    match compression {
        None => aggregate_text(input, options, outputs, &watch, sizes),
        Some(compression) => thread::scope(|scope| {
            let input = decompressed(scope, input, compression, options.unpacked_limit);
            aggregate_text(input, options, outputs, &watch, sizes)
        }),
    }
}

/// [`aggregate`] for input that is not compressed.
fn aggregate_text(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    watch: &Watch<'_>,
    sizes: Sizes,
) -> Result<Summary, AggregationError> {
    let text = Text::open(input, options.dialect.encoding).map_err(AggregationError::read)?;
    let mut options = options.clone();
    options.dialect.encoding = Some(text.encoding());
    let options = &options;
    let mut input = Input::open(text, sizes.chunk, options)?;
    let header = input.header(options)?;
    let dialect = input.dialect();
    let threads = options.threads.max(1);
    let budget = GroupBudget::new(options.memory_limit, sizes.min_memory, watch);
    // The private groups of all threads take at most a quarter of the memory.
    let private_memory = PRIVATE_MEMORY.min(budget.limit() / 4 / threads as u64);
    let seed = KeyTable::seed();
    let dictionary = DictColumn::new(options, sizes.max_values, seed);
    let shards = Shards::new(options, &dictionary, &budget, (sizes.index_limits, seed));
    let inline = Shards::new(options, &DictColumn::None, &budget, (sizes.index_limits, seed));
    let inline = inline.replacing(&shards);
    let shared = Shared {
        input: Mutex::new(input),
        dialect,
        header: &header,
        options,
        watch,
        shards: &shards,
        inline: &inline,
        seed,
        private_memory,
        failing: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        reports: Reports::new(sizes.reorder),
    };
    let (rows_rejected, workers) = read(&shared, threads, outputs)?;

    let rows_read = workers.iter().map(|worker| worker.rows).sum();
    let inline = inline.into_stored();
    let totals = Totals { workers, shards: shards.into_stored(), inline, dictionary: &dictionary };
    let (groups, output_size) =
        totals.write(options, (sizes.range, budget.limit()), outputs, watch)?;
    if rows_rejected > 0 {
        outputs.rejected().and_then(Write::flush).map_err(AggregationError::Write)?;
    }
    Ok(Summary { rows_read, rows_rejected, groups, output_size, dialect })
}
