//! The storage in a local folder.
//!
//! # Invariants
//! - Files that are being written have names with a `#`, which lists leave out, or are in the
//!   folder of staged files.
//! - A name is on disk when the call that creates it returns.

mod appender;
mod object_file;
pub(super) mod segment_writer;
pub(super) mod segments;

pub(super) use self::object_file::ObjectFile;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::ready;
use futures_util::stream::{BoxStream, StreamExt, once, try_unfold};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt};
use tokio::fs::ReadDir;

use super::key::{INPUTS, OUTPUTS, STAGED};
use super::space::DiskSpace;
use super::{ObjectKey, StorageError, keys, not_found};
use crate::task::TaskId;

/// A folder.
#[derive(Debug, Clone)]
pub(super) struct LocalFolder {
    store: Arc<LocalFileSystem>,
    root: PathBuf,
}

impl LocalFolder {
    pub(super) fn create(root: &FsPath) -> Result<Self, StorageError> {
        make_folders(root)?;
        let store = LocalFileSystem::new_with_prefix(root)?;
        Ok(Self { store: Arc::new(store), root: root.to_owned() })
    }

    pub(super) fn root(&self) -> &FsPath {
        &self.root
    }

    /// Creates the folders again if they were deleted.
    pub(super) async fn check(&self) -> io::Result<()> {
        let root = self.root.clone();
        blocking(move || make_folders(&root)).await
    }

    pub(super) async fn space(&self) -> io::Result<DiskSpace> {
        let root = self.root.clone();
        blocking(move || DiskSpace::of(&root)).await
    }

    pub(super) async fn open(
        &self,
        key: ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<OpenFile, StorageError> {
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let result = self.store.get_opts(&key.path(), options).await.map_err(not_found(key))?;
        match result.payload {
            GetResultPayload::File(file, _) => {
                Ok(OpenFile { file, size: result.meta.size, range: result.range })
            }
            GetResultPayload::Stream(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    /// Complete files never change, so that both names can be of one file.
    pub(super) async fn copy(
        &self,
        from: ObjectKey,
        to: ObjectKey,
        size: u64,
    ) -> Result<(), StorageError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::NotFound(from),
            io::ErrorKind::UnexpectedEof => StorageError::Lost(from),
            io::ErrorKind::AlreadyExists => StorageError::AlreadyExists(to),
            _ => error.into(),
        };
        let (source, target) = (self.path(from), self.path(to));
        let linked = blocking(move || match std::fs::metadata(&source)?.len() == size {
            true => Ok(link(&source, &target)),
            false => Err(segments::missing_bytes()),
        });
        if linked.await.map_err(failed)?.is_ok() {
            return Ok(());
        }
        // The name exists, or the file system has no links.
        let parts = vec![(self.path(from), size)];
        segments::concatenate(self.staging_folder(to), parts).await.map_err(failed)
    }

    pub(super) async fn delete(&self, key: ObjectKey) -> Result<(), StorageError> {
        match self.store.delete(&key.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let ObjectKey::Output { task_id, .. } = key {
            self.remove_folder(task_id).await;
        }
        Ok(())
    }

    /// Removes the folder of a task if it is empty.
    pub(super) async fn remove_folder(&self, task_id: TaskId) {
        let _ = tokio::fs::remove_dir(self.root.join(OUTPUTS).join(task_id.to_string())).await;
    }

    pub(super) fn list(
        &self,
        folder: &Path,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        keys(self.store.list(Some(folder)), age, |path| ObjectKey::parse(path.as_ref()))
    }

    /// An unreadable folder results in an error, followed by the files of the others.
    pub(super) fn list_outputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        let folder = self.clone();
        entries(self.root.join(OUTPUTS))
            .map(move |entry| match entry {
                Ok(entry) => {
                    let name = entry.file_name();
                    folder.list(&Path::from_iter([OUTPUTS, &name.to_string_lossy()]), age)
                }
                Err(error) => once(ready(Err(error.into()))).boxed(),
            })
            .flatten()
            .boxed()
    }

    /// Deletes the unfinished files (`name#N`) that a killed process left more than `age` ago;
    /// returns how many.
    pub(super) async fn remove_unfinished(&self, age: Duration) -> io::Result<u64> {
        let root = self.root.clone();
        blocking(move || {
            let mut removed = 0;
            for part in [INPUTS, OUTPUTS] {
                removed += remove_unfinished_in(&root.join(part), age)?;
            }
            Ok(removed)
        })
        .await
    }

    pub(super) fn path(&self, key: ObjectKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    pub(super) fn staging_folder(&self, key: ObjectKey) -> StagingFolder {
        StagingFolder {
            root: self.root.clone(),
            path: self.root.join(STAGED).join(key.task_id().to_string()),
            target: self.path(key),
        }
    }
}

/// A file, or a part of one, for reading.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    /// The size of the whole file in bytes.
    pub(super) size: u64,
    pub(super) range: Range<u64>,
}

/// Where a staged file is kept, and where it goes when it is complete.
#[derive(Debug, Clone)]
pub(super) struct StagingFolder {
    /// The folder of the storage.
    root: PathBuf,
    /// The folder of the staged file.
    path: PathBuf,
    /// The complete file.
    target: PathBuf,
}

impl StagingFolder {
    /// Creates the folder if it is missing.
    fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)
    }

    /// Makes the names of new files in the folder durable, and its own.
    fn sync(&self) -> io::Result<()> {
        for folder in [&self.path, &self.root.join(STAGED), &self.root] {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

fn make_folders(root: &FsPath) -> io::Result<()> {
    for part in [INPUTS, OUTPUTS] {
        std::fs::create_dir_all(root.join(part))?;
    }
    Ok(())
}

/// The entries of a folder; none if it does not exist.
fn entries(folder: PathBuf) -> BoxStream<'static, io::Result<tokio::fs::DirEntry>> {
    let entries = try_unfold(None, move |entries: Option<ReadDir>| {
        let folder = folder.clone();
        async move {
            let mut entries = match entries {
                Some(entries) => entries,
                None => match tokio::fs::read_dir(folder).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    entries => entries?,
                },
            };
            let entry = entries.next_entry().await?;
            Ok(entry.map(|entry| (entry, Some(entries))))
        }
    });
    entries.boxed()
}

fn remove_unfinished_in(folder: &FsPath, age: Duration) -> io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    // Recent entries may be in use: also a folder, which is created before its first file.
    let is_old = |entry: &std::fs::DirEntry| {
        // It may have been finished or removed since it was listed.
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| SystemTime::now().duration_since(time).unwrap_or_default() >= age)
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let is_old = is_old(&entry);
            removed += remove_unfinished_in(&entry.path(), age)?;
            if is_old {
                // Removes the folder with its last file; an error means that it has others.
                let _ = std::fs::remove_dir(entry.path());
            }
        } else if entry.file_name().to_string_lossy().contains('#') && is_old(&entry) {
            removed += u64::from(std::fs::remove_file(entry.path()).is_ok());
        }
    }
    Ok(removed)
}

/// Gives a file another, durable name.
fn link(source: &FsPath, target: &FsPath) -> io::Result<()> {
    std::fs::hard_link(source, target)?;
    target.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names of the files in `folder` durable.
fn sync_folder(folder: &FsPath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
