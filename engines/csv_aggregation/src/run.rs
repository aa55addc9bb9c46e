//! One aggregation from its input to its outputs.
//!
//! # Invariants
//! - The result depends on the rows alone: not on their order, on how the input arrives, on the
//!   number of threads or on the memory.
//! - Memory is bounded whatever the input holds: by [`Options::memory_limit`] for the groups and the
//!   index of those in files, about a quarter of that more while groups from files are merged and
//!   written, and a few times [`csv_input::MAX_RECORD`] for each thread.
//! - The result is written only after the whole input was read and is valid. A sum out of range is
//!   found while it is written: what is written before the error must be thrown away.
//! - An interrupt takes effect within some milliseconds of work, unless the input or an output blocks.
//! - No temporary file outlives the work.
//!
//! # Not here
//! Opening the input, and making the outputs durable.

use std::io::{Cursor, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;

use crate::collect::collector::OWN_MEMORY;
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
use crate::read::header::Header;
use crate::read::input::Input;
use crate::read::row::Row;
use crate::spill::run_index::IndexLimits;
use crate::spill::shards::{GroupBudget, Shards};
use crate::watch::Watch;
use crate::write::totals::Totals;

/// As much of the input a thread takes at once: it fits the processor's caches, and taking it costs
/// little beside the work.
const CHUNK: usize = 256 << 10;
/// The least memory for the groups, so that a small limit does not make countless files.
const LEAST_MEMORY: u64 = 8 << 20;
/// As much memory belongs to a range of keys at least: opening one costs little beside its work, and
/// the lines that are made of it stay in the processor's cache until they are written.
const RANGE: u64 = 256 << 10;
/// It is known where a key stands in a file about every so many bytes, unless there is not enough
/// memory for that. To know less means to read more than is asked for. A small limit leaves some
/// memory for it.
const INDEX_LIMITS: IndexLimits = IndexLimits { every: 16 << 10, memory: 4 << 10 };
/// How much of what is wrong with rows may wait for an earlier chunk: no more than is hardly ever
/// reached, as a thread that waits does nothing else.
const REORDER_LIMITS: ReorderLimits = ReorderLimits { chunks: 1 << 10, bytes: 16 << 20 };

/// What an aggregation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Rows behind the header, rejected ones included and blank lines not.
    pub rows_read: u64,
    /// Invalid rows, which were left out.
    pub rows_rejected: u64,
    /// Rows of the result behind its header.
    pub groups: u64,
    /// The size of the result in bytes.
    pub output_size: u64,
}

/// Reads the CSV file `input`, which may be compressed by gzip or zstd, and writes its sums by group,
/// sorted by the groups in byte order.
///
/// # Errors
/// The file or a row of it is invalid, a limit is exceeded, reading or writing failed, or
/// `control` ended the work. The outputs are worthless then.
pub fn aggregate(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    control: &dyn Control,
) -> Result<Summary, AggregationError> {
    aggregate_in_chunks(input, options, outputs, control, Sizes::REAL)
}

/// What tests make smaller.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) chunk: usize,
    pub(crate) least_memory: u64,
    pub(crate) range: u64,
    /// With the least memory for the marks of a shard.
    pub(crate) index_limits: IndexLimits,
    pub(crate) max_values: usize,
    pub(crate) reorder: ReorderLimits,
}

impl Sizes {
    pub(crate) const REAL: Self = Self {
        chunk: CHUNK,
        least_memory: LEAST_MEMORY,
        range: RANGE,
        index_limits: INDEX_LIMITS,
        max_values: MAX_VALUES,
        reorder: REORDER_LIMITS,
    };
}

/// [`aggregate`] with chunks of any size, and any memory.
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
    let looked_at = (&mut input).take(csv_input::START_BYTES as u64).read_to_end(&mut start);
    looked_at.map_err(AggregationError::read)?;
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

/// [`aggregate`] of what is not compressed.
fn aggregate_text(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    watch: &Watch<'_>,
    sizes: Sizes,
) -> Result<Summary, AggregationError> {
    let mut input = Input::open(input, sizes.chunk)?;
    let (fields, line, unterminated) = input.header()?;
    let header = Header::new(Row { fields: &fields, line, unterminated }, options)?;
    let threads = options.threads.max(1);
    let budget = GroupBudget::new(options.memory_limit, sizes.least_memory, watch);
    // Those of all threads take a part of it at most.
    let own_memory = OWN_MEMORY.min(budget.limit() / 4 / threads as u64);
    let seed = KeyTable::seed();
    let dictionary = DictColumn::new(options, sizes.max_values, seed);
    let shards = Shards::new(options, &dictionary, &budget, (sizes.index_limits, seed));
    let whole = Shards::new(options, &DictColumn::None, &budget, (sizes.index_limits, seed));
    let whole = whole.replacing(&shards);
    let shared = Shared {
        input: Mutex::new(input),
        header: &header,
        options,
        watch,
        shards: &shards,
        whole: &whole,
        seed,
        own_memory,
        failing: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        reports: Reports::new(sizes.reorder),
    };
    let (rows_rejected, found) = read(&shared, threads, outputs)?;

    let rows_read = found.iter().map(|found| found.rows).sum();
    let whole = whole.into_stored();
    let all = Totals { found, shards: shards.into_stored(), whole, dictionary: &dictionary };
    let (groups, output_size) =
        all.write(options, (sizes.range, budget.limit()), outputs, watch)?;
    if rows_rejected > 0 {
        outputs.rejected().and_then(Write::flush).map_err(AggregationError::Write)?;
    }
    Ok(Summary { rows_read, rows_rejected, groups, output_size })
}
