//! The space of the disk that a folder is on, and errors for want of it.

use std::error::Error;
use std::io;
use std::path::Path;

use bytesize::ByteSize;

use super::StorageError;

/// A disk is nearly full if less than a tenth of it, and less than [`ENOUGH`], is free.
const SCARCE_SHARE: u64 = 10;
/// So much free space is enough on a disk of any size, in bytes.
const ENOUGH: u64 = 10 << 30;

/// The space of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this process may still use, in bytes.
    pub free: u64,
    /// The size of the disk in bytes.
    pub total: u64,
}

impl DiskSpace {
    /// The space of the disk that `folder` is on. It may block.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(Self {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }

    /// Whether space should be freed soon: less than a tenth of the disk and less than 10 GiB
    /// are free.
    #[must_use]
    pub fn is_nearly_full(self) -> bool {
        self.free < ENOUGH.min(self.total / SCARCE_SHARE)
    }

    /// A sentence about a disk that is nearly full.
    #[must_use]
    pub fn warning(self) -> Option<String> {
        let Self { free, total } = self;
        self.is_nearly_full().then(|| {
            let (free, total) = (ByteSize::b(free), ByteSize::b(total));
            format!("the disk is nearly full: {free} of {total} are free")
        })
    }
}

/// Whether the error or one of its causes is that a disk or a quota has no space left.
#[must_use]
pub fn is_out_of_space(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                return true;
            }
            // `source` skips the error that an `io::Error` contains.
            if let Some(inside) = error.get_ref()
                && is_out_of_space(inside)
            {
                return true;
            }
        }
        next = error.source();
    }
    false
}

impl StorageError {
    /// Whether the disk or the quota of the storage has no space left.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        is_out_of_space(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_by_its_size() {
        let gib = 1_u64 << 30;
        for (free, total, expected) in [
            (gib, 100 * gib, true),
            (9 * gib, 100 * gib, true),
            (11 * gib, 10_000 * gib, false),
            (2 * gib, 10 * gib, false),
            (0, 0, false),
            (0, 1 << 20, true),
        ] {
            assert_eq!(DiskSpace { free, total }.is_nearly_full(), expected, "{free} of {total}");
        }
    }

    #[test]
    fn a_warning_says_how_much_is_free() {
        let space = DiskSpace { free: 1 << 30, total: 100 << 30 };
        let warning = "the disk is nearly full: 1.0 GiB of 100.0 GiB are free";
        assert_eq!(space.warning().as_deref(), Some(warning));
        assert_eq!(DiskSpace { free: 50 << 30, ..space }.warning(), None);
    }

    #[test]
    fn the_space_of_a_folder_is_that_of_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let space = DiskSpace::of(folder.path()).unwrap();
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(DiskSpace::of(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn a_full_disk_is_recognized_behind_other_errors() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = StorageError::Io(io::Error::other(StorageError::Io(full())));
        assert!(wrapped.is_out_of_space());
        assert!(is_out_of_space(&io::Error::other(StorageError::Io(full()))));
        let quota = StorageError::Io(io::ErrorKind::QuotaExceeded.into());
        assert!(quota.is_out_of_space());
        let denied = StorageError::Io(io::ErrorKind::PermissionDenied.into());
        assert!(!denied.is_out_of_space());
    }
}
