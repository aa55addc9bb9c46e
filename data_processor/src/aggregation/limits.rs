//! The bounds of what an input may hold, and the size of writes.

/// The longest record in bytes, as it stands in the file. A longer one is most likely no CSV, or a
/// quote that was never closed.
pub const MAX_RECORD: u64 = 16 << 20;
/// The most fields of a record.
pub const MAX_FIELDS: u64 = 1 << 20;
/// As much is written at once, in bytes, and a good size for the buffers of [`Outputs`]. For larger
/// writes Linux takes blocks of memory of 128 KiB and more, which a host of virtual machines takes back
/// whenever they are free: to get them again costs several times what the writing does.
pub const WRITE_SIZE: usize = 64 << 10;
