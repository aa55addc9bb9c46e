//! What the caller gives: where the outputs go, and how the work is watched and ended.

use std::io::{self, Write};

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
