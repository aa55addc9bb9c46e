//! The engine of `csv_aggregation`: sums of a CSV file's columns by groups of equal rows.
//!
//! Threads take chunks of whole records from the input (`input`; `unpack` where it is compressed),
//! take the rows apart where they lie (`batch`: `fields`, `text`, `number`, `dates`, `values`), or
//! byte by byte where something is unusual (`record`, `row`), and collect them (`collector`) in
//! groups of their own as long as these are few, then in groups that all threads share (`shards`).
//! What is wrong with rows is put into the order of the file (`reports`) and written meanwhile
//! (`reading`). Groups (`groups`: `keys`, `cells`) keep their last column apart (`inner`), and go
//! to temporary files where they take too much memory (`runs`: `marks`). At the end (`totals`) many
//! runs become few (`compaction`), all keys are cut into ranges (`ranges`), and of each the groups
//! are sorted (`sort`), merged (`merge`) and written (`result`).
//!
//! # Invariants
//! - The answer depends on the rows alone: not on their order, on how the input arrives, on the
//!   number of threads or on the memory.
//! - A sum is exact or an error, never wrapped.
//! - Memory is bounded, whatever the input holds: by [`Options::memory_limit`] for the groups and
//!   what is known of those in files, about a quarter of that more while groups from files are
//!   merged and written, and a few times [`MAX_RECORD`] for each thread.
//! - The result is written only after the whole input was read and found good. A sum that is out of
//!   range is found while it is written: what is written before the error is worthless.
//! - An interrupt takes effect within some milliseconds of work, as long as the input and the
//!   outputs do not block.
//! - No temporary file stays, however the work ends.
//!
//! # Not here
//! Tasks, HTTP and storage: the caller opens the input, gives the outputs and makes them durable.

mod batch;
mod cells;
mod collector;
mod compaction;
mod date;
mod dates;
mod error;
mod fault;
mod fields;
mod group;
mod groups;
mod header;
mod inner;
mod input;
mod key;
mod keys;
mod marks;
mod merge;
mod number;
mod options;
mod radix;
mod ranges;
mod reading;
mod record;
mod rejects;
mod reports;
mod result;
mod row;
mod runs;
mod shards;
mod shown;
mod sort;
mod sums;
#[cfg(test)]
mod tests;
mod text;
mod totals;
mod unpack;
mod values;
mod watch;
mod words;
mod worker;

use std::io::{self, Cursor, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;

use serde::{Deserialize, Serialize};

pub use self::error::AggregationError;
pub use self::options::{DEFAULT_MEMORY_LIMIT, DEFAULT_UNPACKED_LIMIT, Options};

use self::collector::OWN_MEMORY;
use self::header::Header;
use self::inner::Inner;
use self::input::Input;
use self::keys::Keys;
use self::marks::Marking;
use self::reading::read;
use self::reports::{Ahead, Reports};
use self::row::Row;
use self::shards::{GroupBudget, Shards};
use self::totals::Totals;
use self::unpack::{Counted, unpacked};
use self::values::FEW_VALUES;
use self::watch::Watch;
use self::worker::Shared;

/// The longest record in bytes, as it stands in the file. A longer one is most likely no CSV, or a
/// quote that was never closed.
pub const MAX_RECORD: u64 = 16 << 20;
/// The most fields of a record.
pub const MAX_FIELDS: u64 = 1 << 20;
/// As much is written at once, in bytes, and a good size for the buffers of [`Outputs`]. For larger
/// writes Linux takes blocks of memory of 128 KiB and more, which a host of virtual machines takes back
/// whenever they are free: to get them again costs several times what the writing does.
pub const WRITE_SIZE: usize = 64 << 10;

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
const MARKING: Marking = Marking { every: 16 << 10, memory: 4 << 10 };
/// How much of what is wrong with rows may wait for an earlier chunk: no more than is hardly ever
/// reached, as a thread that waits does nothing else.
const AHEAD: Ahead = Ahead { chunks: 1 << 10, bytes: 16 << 20 };

/// The work was to end before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Learns how far the work is, may end it, and says what it may use.
pub trait Control: Send + Sync {
    /// `bytes_read` of the input are read so far. It is called for every 64 KiB at most that are
    /// read, and every few milliseconds while the groups are sorted and written; from any thread,
    /// but by one at a time.
    ///
    /// # Errors
    /// [`Interrupted`] ends the work.
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted>;

    /// How many threads may work now, of those of [`Options::threads`]; one does in any case. The
    /// others wait. It is asked with every chunk and range.
    fn threads(&self) -> usize {
        usize::MAX
    }

    /// How much memory in bytes the groups may take now, where it is less than
    /// [`Options::memory_limit`]. What threads keep for themselves, up to a quarter of what there
    /// was when the work started, is not given back. It is asked with every chunk.
    fn memory(&self) -> u64 {
        u64::MAX
    }
}

/// Where the output goes. Both writers get small writes now and then, so they should be buffered
/// ([`WRITE_SIZE`]); they are flushed at the end.
pub trait Outputs {
    /// The writer of the result. It is asked for once, when the whole input is found good. What is
    /// written means nothing when the aggregation ends in an error.
    ///
    /// # Errors
    /// It cannot be opened.
    fn result(&mut self) -> io::Result<&mut dyn Write>;

    /// The writer of the rejected rows. It is asked for with every rejected row, so that the first
    /// call may create it and none does where no row is rejected. The rows come while the input is
    /// read: they mean nothing when the aggregation ends in an error.
    ///
    /// # Errors
    /// It cannot be opened.
    fn rejected(&mut self) -> io::Result<&mut dyn Write>;
}

/// What an aggregation did; the `result` of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Rows behind the header, rejected ones included and blank lines not.
    pub rows_read: u64,
    /// Rows that did not hold and were left out.
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
struct Sizes {
    chunk: usize,
    least_memory: u64,
    range: u64,
    /// With the least memory for the marks of a shard.
    marking: Marking,
    few_values: usize,
    ahead: Ahead,
}

impl Sizes {
    const REAL: Self = Self {
        chunk: CHUNK,
        least_memory: LEAST_MEMORY,
        range: RANGE,
        marking: MARKING,
        few_values: FEW_VALUES,
        ahead: AHEAD,
    };
}

/// [`aggregate`] with chunks of any size, and any memory.
fn aggregate_in_chunks(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    control: &dyn Control,
    sizes: Sizes,
) -> Result<Summary, AggregationError> {
    let watch = Watch::new(control);
    let mut input = Counted::new(input, &watch);
    let mut start = Vec::new();
    let looked_at = (&mut input).take(csv_input::START_BYTES as u64).read_to_end(&mut start);
    looked_at.map_err(|error| error.downcast().unwrap_or_else(AggregationError::Read))?;
    let packing = csv_input::packing(&start);
    let input = Cursor::new(start).chain(input);
    match packing {
        None => aggregate_text(input, options, outputs, &watch, sizes),
        Some(packing) => thread::scope(|scope| {
            let input = unpacked(scope, input, packing, options.unpacked_limit);
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
    let seed = Keys::seed();
    let inner = Inner::new(options, sizes.few_values, seed);
    let shards = Shards::new(options, &inner, &budget, (sizes.marking, seed));
    let whole = Shards::new(options, &Inner::Nothing, &budget, (sizes.marking, seed));
    let whole = whole.after(&shards);
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
        reports: Reports::new(sizes.ahead),
    };
    let (rows_rejected, found) = read(&shared, threads, outputs)?;

    let rows_read = found.iter().map(|found| found.rows).sum();
    let whole = whole.into_stored();
    let all = Totals { found, shards: shards.into_stored(), whole, inner: &inner };
    let (groups, output_size) =
        all.write(options, (sizes.range, budget.limit()), outputs, watch)?;
    if rows_rejected > 0 {
        outputs.rejected().and_then(Write::flush).map_err(AggregationError::Write)?;
    }
    Ok(Summary { rows_read, rows_rejected, groups, output_size })
}
