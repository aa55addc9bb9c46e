//! The part of a result that has arrived, beside its final name.
//!
//! # Invariants
//! - The final name never stands for a part: a part is synced to the disk and then renamed.
//! - The name of a part says which bytes it is the beginning of (a hash of the task and the strong
//!   tag of its result), so a later download of the same bytes continues it, and no other does.
//! - A part has one writer at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempPath;

use crate::destination::{cannot_write, exists_already, folder, temporary_beside};
use crate::exclusive_file;
use crate::failure::Failure;

/// The longest part of a file name in bytes that is used for the name of its part: file systems
/// permit 255.
const LONGEST_NAME: usize = 200;
/// The permissions of any new file; the user's mask applies to them.
const MODE: u32 = 0o666;

/// A part. Dropping it deletes it, unless it has bytes that a later download can use.
#[derive(Debug)]
pub(crate) struct PartFile {
    /// Empty once the file has its final name.
    temporary: Option<TempPath>,
    target: PathBuf,
    is_continuable: bool,
}

impl PartFile {
    /// Opens the part of `target` that an earlier download of the bytes `identity` left, or creates
    /// it. Without an identity, or while another process writes that part, it is a new one that
    /// cannot be continued.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn open(target: PathBuf, identity: Option<&str>) -> Result<(File, Self), Failure> {
        if let Some(identity) = identity {
            let path = part_path(&target, identity);
            let file = exclusive_file::open(&path, MODE).map_err(|e| cannot_write(&target, &e))?;
            if let Some(file) = file {
                let temporary = TempPath::try_from_path(path);
                let temporary = temporary.map_err(|e| cannot_write(&target, &e))?;
                let part = Self { temporary: Some(temporary), target, is_continuable: true };
                return Ok((file, part));
            }
        }
        let (file, temporary) = temporary_beside(&target)?;
        Ok((file, Self { temporary: Some(temporary), target, is_continuable: false }))
    }

    /// The final name of the file.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The name of the part, if a later download can continue it.
    pub(crate) fn continuable(&self) -> Option<&Path> {
        self.temporary.as_deref().filter(|_| self.is_continuable)
    }

    /// Renames the complete and synced file to its final name, and returns the name. An existing
    /// file is replaced only if `replace` is set.
    ///
    /// # Errors
    /// The name is taken, or the file cannot be renamed.
    pub(crate) fn complete(mut self, replace: bool) -> Result<PathBuf, Failure> {
        let target = std::mem::take(&mut self.target);
        let Some(temporary) = self.temporary.take() else { return Ok(target) };
        let renamed = match replace {
            true => temporary.persist(&target),
            false => temporary.persist_noclobber(&target),
        };
        if let Err(failed) = renamed {
            // It is complete: a later command can use it.
            self.temporary = Some(failed.path);
            return Err(match failed.error.kind() {
                io::ErrorKind::AlreadyExists if !replace => exists_already(&target),
                _ => cannot_write(&target, &failed.error),
            });
        }
        sync_folder(&target).map_err(|error| cannot_write(&target, &error))?;
        Ok(target)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        let Some(path) = self.temporary.take().filter(|_| self.is_continuable) else { return };
        if path.metadata().is_ok_and(|found| found.len() > 0) {
            // An error means that it cannot be kept, only that.
            let _ = path.keep();
        }
    }
}

/// `NAME.HASH.part`, beside `target`.
fn part_path(target: &Path, identity: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let name = name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or(&name);
    let hash = hex::encode(Sha256::digest(identity));
    let hash = hash.get(..16).unwrap_or(&hash);
    target.with_file_name(format!("{name}.{hash}.part"))
}

/// Makes the new name last through a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_part_is_continued_by_the_same_bytes_only() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.csv");
        let open = |identity| PartFile::open(target.clone(), Some(identity)).unwrap();
        let (mut file, part) = open("task \"one\"");
        file.write_all(b"abc").unwrap();
        let left = part.continuable().unwrap().to_owned();
        drop((file, part));

        let (other, _other_part) = open("task \"two\"");
        assert_eq!(other.metadata().unwrap().len(), 0);
        let (file, part) = open("task \"one\"");
        assert_eq!(file.metadata().unwrap().len(), 3);
        assert_eq!(part.continuable(), Some(&*left));
        assert!(!target.exists());

        part.complete(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        assert!(!left.exists());
    }

    #[test]
    fn a_part_without_bytes_or_identity_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.csv");
        let (file, part) = PartFile::open(target.clone(), Some("task")).unwrap();
        drop((file, part));
        let (mut file, part) = PartFile::open(target, None).unwrap();
        file.write_all(b"abc").unwrap();
        drop((file, part));
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    }

    #[test]
    fn a_second_writer_gets_a_part_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.csv");
        let open = || PartFile::open(target.clone(), Some("task")).unwrap();
        let (mut first, first_part) = open();
        first.write_all(b"first").unwrap();
        let (mut second, second_part) = open();
        assert_eq!(second_part.continuable(), None);
        second.write_all(b"2").unwrap();
        second_part.complete(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"2");
        first_part.complete(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"first");
    }

    #[test]
    fn a_taken_name_is_kept_and_so_is_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.csv");
        let (mut file, part) = PartFile::open(target.clone(), Some("task")).unwrap();
        file.write_all(b"new").unwrap();
        let left = part.continuable().unwrap().to_owned();
        std::fs::write(&target, "mine").unwrap();
        assert!(part.complete(false).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert_eq!(std::fs::read(left).unwrap(), b"new");
    }

    #[test]
    fn names_of_parts_are_never_too_long() {
        for name in ["ä".repeat(127), "x".repeat(255)] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join(name);
            std::fs::write(&target, "").unwrap();
            PartFile::open(target, Some("task")).unwrap();
        }
    }
}
