//! The engine of `csv_aggregation`: sums of a CSV file's columns by groups of equal rows.
//!
//! The stages are folders, and each uses only those before it:
//!
//! 1. `read`: bytes become chunks of whole records, decompressed where they must be, and rows become
//!    fields, numbers and dates; what is wrong with a row is found here.
//! 2. `group`: groups in memory. Keys are kept in a hash table, the last column of a group as a
//!    dictionary, and the sums in dense rows or small tables.
//! 3. `spill`: groups that all threads share, which go to sorted temporary files where they take too
//!    much memory, and the merge of both.
//! 4. `collect`: the threads. Each takes chunks, parses them by columns, keeps groups of its own as
//!    long as these are few and shares them afterwards. Invalid rows are put into the order of the file.
//! 5. `write`: the keys are cut into ranges; the groups of each are sorted, merged and written.
//!
//! `run` connects them; the other modules of this level belong to no stage and use none.
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

mod collect;
mod control;
mod csv_line;
mod error;
mod group;
mod limits;
mod options;
mod radix;
mod read;
mod run;
mod shown;
mod spill;
#[cfg(test)]
mod tests;
mod text;
mod watch;
mod words;
mod write;

pub use self::control::{Control, Interrupted, Outputs};
pub use self::error::{AggregationError, BadRows};
pub use self::limits::{MAX_FIELDS, MAX_RECORD, WRITE_SIZE};
pub use self::options::{DEFAULT_MEMORY_LIMIT, DEFAULT_UNPACKED_LIMIT, Options};
pub use self::run::{Summary, aggregate};
