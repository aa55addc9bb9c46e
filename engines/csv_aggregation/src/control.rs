//! The interfaces that the caller implements: outputs, progress, interrupts and resource limits.

use std::io::{self, Write};

/// The aggregation was interrupted before it was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Observes the progress of an aggregation, may interrupt it, and limits its resources.
pub trait Control: Send + Sync {
    /// Reports that `bytes_read` bytes of the input have been read so far. Called at least once per
    /// 64 KiB of input, and every few milliseconds while groups are sorted and written. Calls may
    /// come from any thread, but only one at a time.
    ///
    /// # Errors
    /// Returning [`Interrupted`] ends the aggregation.
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted>;

    /// Reports that `rows` rows have been rejected so far, whenever there are more. Calls come from
    /// the thread that calls [`Outputs`].
    fn rejected(&self, _rows: u64) {}

    /// How many of [`Options::threads`](crate::Options::threads) may work now; at least one always
    /// does. The others wait. Called before every chunk of the input and every range of the output.
    fn threads(&self) -> usize {
        usize::MAX
    }

    /// How much memory in bytes the groups may take now, if less than
    /// [`Options::memory_limit`](crate::Options::memory_limit). Private groups of threads, up to a
    /// quarter of the memory at the start, are not released when it shrinks. Called with every
    /// chunk of the input.
    fn memory(&self) -> u64 {
        u64::MAX
    }

    /// Reports that groups were written to temporary files, `bytes` in all. Calls may come from
    /// several threads at a time.
    fn spilled(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// The size of writes in bytes, which is also a good size for the buffers of
/// [`Outputs`].
///
/// For larger writes, Linux uses blocks of 128 KiB and more in its page cache. The host of a
/// virtual machine may reclaim such blocks whenever they are free (free page reporting). Fetching
/// them again then costs several times as much as writing.
pub const WRITE_SIZE: usize = 64 << 10;

/// The outputs of an aggregation. Some writes are small, so the writers should be buffered
/// ([`WRITE_SIZE`]). They are flushed at the end.
pub trait Outputs {
    /// The writer of the result. Called once, after the whole input was read and is valid. If the
    /// aggregation fails, the output must be discarded.
    ///
    /// # Errors
    /// The writer cannot be opened.
    fn result(&mut self) -> io::Result<&mut dyn Write>;

    /// The writer of the rejected rows. Called whenever some are written, so the first call may
    /// create the output, and no call means that no row was rejected. Rows are written while the
    /// input is read. If the aggregation fails, the output must be discarded.
    ///
    /// # Errors
    /// The writer cannot be opened.
    fn rejected(&mut self) -> io::Result<&mut dyn Write>;
}
