//! The file to upload.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The file to upload; clones share it. It stays the same file even if another one gets its name.
#[derive(Debug, Clone)]
pub(super) struct Input {
    file: Arc<Mutex<File>>,
    /// The path as it was given.
    pub(super) given: PathBuf,
    /// The absolute path, without symbolic links.
    pub(super) path: PathBuf,
    /// The name without folders and control characters.
    pub(super) name: String,
    /// What identifies the content.
    pub(super) version: Version,
}

/// What identifies the content of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// In bytes.
    pub(super) size: u64,
    modified: Option<DateTime<Utc>>,
    device: u64,
    inode: u64,
}

impl Version {
    fn of(found: &Metadata) -> Self {
        let modified = found.modified().ok().map(DateTime::from);
        #[cfg(unix)]
        let (device, inode) = {
            use std::os::unix::fs::MetadataExt;
            (found.dev(), found.ino())
        };
        #[cfg(not(unix))]
        let (device, inode) = (0, 0);
        Self { size: found.len(), modified, device, inode }
    }
}

impl Input {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is not a regular file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let unusable =
            |reason: String| Failure::local(format!("Cannot upload {}: {reason}.", path.display()));
        let opened = File::open(path).and_then(|file| {
            let found = file.metadata()?;
            Ok((file, found, path.canonicalize()?))
        });
        let (file, found, absolute) = opened.map_err(|error| unusable(error.to_string()))?;
        if !found.is_file() {
            return Err(unusable("it is not a regular file".to_owned()));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        // The name is sent in a header of a form's part.
        let name = name.unwrap_or_default().replace(|c: char| c.is_control(), "_");
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            given: path.to_owned(),
            path: absolute,
            name,
            version: Version::of(&found),
        })
    }

    /// The size when it was opened, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.version.size
    }

    /// Up to `length` bytes from `position`, which the file must have.
    ///
    /// # Errors
    /// Why they cannot be read, for people.
    pub(super) async fn read(&self, position: u64, length: usize) -> Result<Bytes, String> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || {
            // The position does not matter to the next read.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(position))?;
            let mut chunk = vec![0; length];
            let read = file.read(&mut chunk)?;
            chunk.truncate(read);
            Ok::<_, std::io::Error>(Bytes::from(chunk))
        });
        match read.await {
            Ok(Ok(chunk)) if chunk.is_empty() => {
                Err("it became shorter while it was read".to_owned())
            }
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The failure of a file that cannot be read to its end.
    pub(super) fn failure(&self, reason: &str) -> Failure {
        Failure::local(format!("Cannot upload {}: {reason}.", self.given.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(path: &Path) -> Version {
        Input::open(path).unwrap().version
    }

    #[test]
    fn another_content_has_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "one").unwrap();
        let first = version(&path);
        assert_eq!(version(&path), first);
        let later = File::options().write(true).open(&path).unwrap();
        later
            .set_modified(std::time::SystemTime::now() + std::time::Duration::from_nanos(500))
            .unwrap();
        assert_ne!(version(&path), first, "it was written again");

        let first = version(&path);
        let other = folder.path().join("y.csv");
        std::fs::write(&other, "two").unwrap();
        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(times).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(version(&path), first, "it was replaced by one of the same size and time");
    }

    #[test]
    fn a_version_survives_its_record() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let version = version(file.path());
        let text = serde_json::to_string(&version).unwrap();
        assert_eq!(serde_json::from_str::<Version>(&text).unwrap(), version);
    }

    #[tokio::test]
    async fn any_range_of_the_opened_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "0123456789").unwrap();
        let input = Input::open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("y.csv")).unwrap();
        std::fs::write(&path, "another file").unwrap();
        assert_eq!(input.read(7, 2).await.unwrap(), "78");
        assert_eq!(input.read(2, 3).await.unwrap(), "234");
        assert!(input.read(10, 3).await.unwrap_err().contains("shorter"));
    }
}
