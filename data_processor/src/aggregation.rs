//! The engine of `csv_aggregation`: sums of a CSV file's columns by groups of equal rows.
//!
//! # Invariants
//! - The answer depends on the rows alone: not on their order, nor on how the input arrives.
//! - A sum is exact or an error, never wrapped.
//! - Memory is bounded by [`Options::memory_limit`] for the groups and [`MAX_RECORD`] for a row,
//!   whatever the input holds.
//! - The result is written only after the whole input was read and found good.
//! - An interrupt takes effect within a few milliseconds of work, as long as the input and the
//!   outputs do not block.
//!
//! # Not here
//! Tasks, HTTP and storage: the caller opens the input, gives the outputs and makes them durable.

mod arena;
mod date;
mod error;
mod fault;
mod groups;
mod header;
mod options;
mod reader;
mod rejects;
mod result;
mod row;
mod scanner;
mod shown;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use common::task::spec::OnBadRow;
use serde::{Deserialize, Serialize};

pub use self::error::AggregationError;
pub use self::options::{DEFAULT_MEMORY_LIMIT, Options};
pub use self::scanner::{MAX_FIELDS, MAX_RECORD};

use self::error::BadRows;
use self::groups::Groups;
use self::header::Header;
use self::reader::Reader;
use self::rejects::Rejects;
use self::row::RowCheck;

/// The work was to end before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Hears how far the work is and may end it.
pub trait Control: Send + Sync {
    /// `bytes_read` of the input are read so far. It is called for every 64 KiB at most that are
    /// read, and every few milliseconds while the groups are sorted and written.
    ///
    /// # Errors
    /// [`Interrupted`] ends the work.
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted>;
}

/// Where the output goes. Both writers get small writes now and then, so they should be buffered;
/// they are flushed at the end.
pub trait Outputs {
    /// The writer of the result. It is asked for once, when the whole input is found good.
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

/// Reads the CSV file `input` and writes its sums by group, sorted by the groups in byte order.
///
/// # Errors
/// The file or a row of it does not hold, a limit is exceeded, reading or writing failed, or
/// `control` ended the work. The outputs are worthless then.
pub fn aggregate(
    input: impl Read + Send,
    options: &Options,
    outputs: &mut dyn Outputs,
    control: &dyn Control,
) -> Result<Summary, AggregationError> {
    let mut reader = Reader::open(input, control)?;
    let header = Header::new(reader.header()?, options)?;
    let mut check = RowCheck::new(&header, options);
    let mut groups = Groups::new(options.sum.len());
    let mut bad = BadRows::default();
    let mut rejects = Rejects::default();
    let mut rows_read = 0;

    while let Some(row) = reader.next()? {
        rows_read += 1;
        match (check.check(&row), options.on_bad_row) {
            // Behind a bad row the others are read only to find the bad ones among them.
            (Ok(_), _) if bad.count > 0 => {}
            (Ok(checked), _) => {
                let allocated = groups.add(checked.key, checked.values);
                if allocated && groups.memory() > options.memory_limit {
                    return Err(AggregationError::TooManyGroups {
                        groups: groups.len(),
                        line: row.line,
                        memory_limit: options.memory_limit,
                    });
                }
                if allocated {
                    reader.progress()?;
                }
            }
            (Err(fault), OnBadRow::Fail) => bad.add(|| fault.location(&row, &header)),
            (Err(fault), OnBadRow::Skip) => {
                rejects.write(outputs, &fault, &row, &header).map_err(AggregationError::Write)?;
            }
        }
    }
    if bad.count > 0 {
        return Err(AggregationError::BadRows(bad));
    }

    let bytes_read = reader.bytes_read();
    let checkpoint = || control.progress(bytes_read);
    let groups_found = groups.len();
    let sorted = groups.sort(&checkpoint)?;
    result::check_overflow(&sorted, options, &checkpoint)?;
    let output_size = result::write(&sorted, options, outputs, &checkpoint)?;
    rejects.finish(outputs).map_err(AggregationError::Write)?;
    Ok(Summary { rows_read, rows_rejected: rejects.count(), groups: groups_found, output_size })
}
