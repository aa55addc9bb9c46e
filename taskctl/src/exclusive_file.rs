//! A file that one process uses at a time, and that may be renamed or removed by the process that
//! uses it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Opens the file at `path` to read and write, creates it if it does not exist, and locks it until
/// it is closed; `None` if another process has locked it. A new file has the permissions `mode`.
///
/// # Errors
/// It cannot be opened or locked.
pub(crate) fn open(path: &Path, mode: u32) -> io::Result<Option<File>> {
    open_and(path, mode, || {})
}

/// The same; calls `opened` before it locks a file.
fn open_and(path: &Path, mode: u32, mut opened: impl FnMut()) -> io::Result<Option<File>> {
    loop {
        let file = options(mode).open(path)?;
        opened();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its last user may have renamed or removed it after it was opened here.
        match path.metadata() {
            Ok(now) if is_same(&now, &file.metadata()?) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere an open file is neither renamed nor removed.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_user_at_a_time_and_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "content").unwrap();
        let first = open(&path, 0o600).unwrap().unwrap();
        assert!(open(&path, 0o600).unwrap().is_none());
        drop(first);
        assert!(open(&path, 0o600).unwrap().is_some());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "content");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_its_last_user_renamed_is_not_taken() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let renamed = folder.path().join("y");
        let mut first = open(&path, 0o600).unwrap();
        let second = open_and(&path, 0o600, || {
            if let Some(first) = first.take() {
                std::fs::rename(&path, &renamed).unwrap();
                std::fs::write(&path, "a third one").unwrap();
                drop(first);
            }
        });
        let second = second.unwrap().unwrap().metadata().unwrap().ino();
        assert_ne!(second, renamed.metadata().unwrap().ino(), "it is the renamed one");
        assert_eq!(second, path.metadata().unwrap().ino());
    }
}
