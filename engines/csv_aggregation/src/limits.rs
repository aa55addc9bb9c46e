//! The size of writes.

/// The size of writes in bytes, which is also a good size for the buffers of
/// [`Outputs`](crate::Outputs).
///
/// For larger writes, Linux uses blocks of 128 KiB and more in its page cache. The host of a
/// virtual machine may reclaim such blocks whenever they are free (free page reporting). Fetching
/// them again then costs several times as much as writing.
pub const WRITE_SIZE: usize = 64 << 10;
