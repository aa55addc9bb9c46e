//! The size of writes.

/// As much is written at once, in bytes, and a good size for the buffers of [`Outputs`]. For larger
/// writes Linux takes blocks of memory of 128 KiB and more, which a host of virtual machines takes back
/// whenever they are free: to get them again costs several times what the writing does.
pub const WRITE_SIZE: usize = 64 << 10;
