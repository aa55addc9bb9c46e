//! The bucket of files: inputs in `raw_data/`, outputs in `processed_data/`, staged files in
//! `uploads/`.
//!
//! # Invariants
//! - Paths are known only to this module; callers name files by task and type.
//! - A file appears completely or not at all, and is durable when [`ObjectWriter::finish`] returns.
//! - Outputs are per attempt, so a worker presumed dead overwrites no other result.

mod local;
mod staged;
#[cfg(test)]
mod tests;

pub use staged::{Staged, StagedWriter, StagingWriter};

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, once, try_unfold};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::fs::ReadDir;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use crate::task::TaskId;

const INPUTS: &str = "raw_data";
const OUTPUTS: &str = "processed_data";
const STAGED: &str = "uploads";

/// The size of the parts that a writer writes, and how many of them at a time: together they bound
/// the memory of an upload.
const PART_SIZE: usize = 1 << 20;
const PARTS_AT_ONCE: usize = 2;

/// The size of the chunks in which a local file is read for a download.
const READ_SIZE: usize = 256 << 10;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file does not exist.
    #[error("{0} is not in the storage")]
    NotFound(ObjectKey),
    /// The storage failed.
    #[error("the storage failed: {0}")]
    Store(#[from] object_store::Error),
    /// A local folder or file failed.
    #[error("the storage failed: {0}")]
    Io(#[from] io::Error),
}

/// Names one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// The uploaded file of the task.
    Input(TaskId),
    /// The output of an attempt.
    Output {
        /// The task.
        task_id: TaskId,
        /// Its attempt.
        attempt: u32,
        /// Which of its files.
        part: OutputPart,
    },
}

/// The output files of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputPart {
    /// The result.
    Result,
    /// The rejected rows.
    Rejected,
}

impl OutputPart {
    const ALL: [Self; 2] = [Self::Result, Self::Rejected];

    fn suffix(self) -> &'static str {
        match self {
            Self::Result => ".csv",
            Self::Rejected => ".rejected.csv",
        }
    }
}

impl ObjectKey {
    /// The task that the file belongs to.
    #[must_use]
    pub fn task_id(self) -> TaskId {
        match self {
            Self::Input(task_id) | Self::Output { task_id, .. } => task_id,
        }
    }

    /// The task whose input it is.
    #[must_use]
    pub fn input(self) -> Option<TaskId> {
        match self {
            Self::Input(task_id) => Some(task_id),
            Self::Output { .. } => None,
        }
    }

    fn path(self) -> Path {
        Path::from(self.to_string())
    }

    /// The key of a path; none for a foreign path.
    fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let key = match (parts.next()?, parts.next()?, parts.next()) {
            (INPUTS, task_id, None) => Self::Input(task_id.parse().ok()?),
            (OUTPUTS, task_id, Some(name)) => {
                let (attempt, _) = name.split_once('.')?;
                let part = OutputPart::ALL
                    .into_iter()
                    .find(|part| name.strip_prefix(attempt) == Some(part.suffix()))?;
                Self::Output {
                    task_id: task_id.parse().ok()?,
                    attempt: attempt.parse().ok()?,
                    part,
                }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(task_id) => write!(f, "{INPUTS}/{task_id}"),
            Self::Output { task_id, attempt, part } => {
                write!(f, "{OUTPUTS}/{task_id}/{attempt}{}", part.suffix())
            }
        }
    }
}

/// The bucket. Clones share it.
#[derive(Debug, Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    folder: PathBuf,
}

impl Storage {
    /// A bucket in a local folder, which is created if missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn local(folder: &FsPath) -> Result<Self, StorageError> {
        make_folders(folder)?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: folder.to_owned() })
    }

    /// Whether files can be written, for `/readyz`. Creates the folders again if they were deleted.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub async fn check(&self) -> Result<(), StorageError> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || make_folders(&folder))
            .await
            .map_err(io::Error::other)??;
        Ok(())
    }

    /// Starts a new file.
    #[must_use]
    pub fn create(&self, key: ObjectKey) -> ObjectWriter {
        let writer = BufWriter::with_capacity(Arc::clone(&self.store), key.path(), PART_SIZE)
            .with_max_concurrency(PARTS_AT_ONCE);
        ObjectWriter { writer, size: 0 }
    }

    /// Opens a file, or the part `range` of it.
    ///
    /// # Errors
    /// The file does not exist, or the storage failed.
    pub async fn open(
        &self,
        key: ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let result = self.store.get_opts(&key.path(), options).await.map_err(not_found(key))?;
        Ok(ObjectReader { size: result.meta.size, range: result.range, payload: result.payload })
    }

    /// Deletes a file; does nothing if it does not exist.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete(&self, key: ObjectKey) -> Result<(), StorageError> {
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
    async fn remove_folder(&self, task_id: TaskId) {
        let _ = tokio::fs::remove_dir(self.folder.join(OUTPUTS).join(task_id.to_string())).await;
    }

    /// Deletes the outputs of an attempt.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete_attempt(&self, task_id: TaskId, attempt: u32) -> Result<(), StorageError> {
        for part in OutputPart::ALL {
            self.delete(ObjectKey::Output { task_id, attempt, part }).await?;
        }
        Ok(())
    }

    /// Deletes the outputs of all attempts of a task.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete_outputs(&self, task_id: TaskId) -> Result<(), StorageError> {
        let folder = Path::from(format!("{OUTPUTS}/{task_id}"));
        let keys: Vec<ObjectKey> = self.list(folder, Duration::ZERO).try_collect().await?;
        for key in keys {
            self.delete(key).await?;
        }
        self.remove_folder(task_id).await;
        Ok(())
    }

    /// The inputs that were written more than `age` ago.
    pub fn list_inputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        self.list(Path::from(INPUTS), age)
    }

    /// The outputs of all attempts that were written more than `age` ago. An unreadable folder
    /// results in an error, followed by the files of the others.
    pub fn list_outputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        let storage = self.clone();
        let folders = try_unfold(None, move |entries: Option<ReadDir>| {
            let folder = storage.folder.join(OUTPUTS);
            async move {
                let mut entries = match entries {
                    Some(entries) => entries,
                    None => match tokio::fs::read_dir(folder).await {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                        entries => entries?,
                    },
                };
                let entry = entries.next_entry().await?;
                Ok::<_, StorageError>(entry.map(|entry| (entry.file_name(), Some(entries))))
            }
        });
        let storage = self.clone();
        folders
            .map(move |folder| match folder {
                Ok(name) => storage.list(Path::from_iter([OUTPUTS, &name.to_string_lossy()]), age),
                Err(error) => once(ready(Err(error))).boxed(),
            })
            .flatten()
            .boxed()
    }

    fn list(
        &self,
        folder: Path,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        let is_old = move |object: &ObjectMeta| {
            let written = SystemTime::from(object.last_modified);
            SystemTime::now().duration_since(written).unwrap_or_default() >= age
        };
        self.store
            .list(Some(&folder))
            .filter_map(move |object| async move {
                match object {
                    Ok(object) if !is_old(&object) => None,
                    Ok(object) => ObjectKey::parse(object.location.as_ref()).map(Ok),
                    Err(object_store::Error::NotFound { .. }) => None,
                    Err(error) => Some(Err(error.into())),
                }
            })
            .boxed()
    }

    /// Deletes the unfinished files (`name#N`) that a killed process left more than `age` ago;
    /// returns how many.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn remove_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        let folder = self.folder.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let mut removed = 0;
            for part in [INPUTS, OUTPUTS] {
                removed += remove_unfinished_in(&folder.join(part), age)?;
            }
            io::Result::Ok(removed)
        });
        Ok(removed.await.map_err(io::Error::other)??)
    }
}

fn make_folders(folder: &FsPath) -> io::Result<()> {
    for part in [INPUTS, OUTPUTS] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    Ok(())
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

fn not_found(key: ObjectKey) -> impl Fn(object_store::Error) -> StorageError {
    move |error| match error {
        object_store::Error::NotFound { .. } => StorageError::NotFound(key),
        error => error.into(),
    }
}

/// A file being written. It appears when [`finish`](Self::finish) returns; dropping it before that
/// discards it.
#[derive(Debug)]
pub struct ObjectWriter {
    writer: BufWriter,
    size: u64,
}

impl ObjectWriter {
    /// Appends `bytes`; waits while the storage is slower.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.size += bytes.len() as u64;
        self.writer.put(bytes).await?;
        Ok(())
    }

    /// Makes the file durable and visible; returns its size in bytes.
    ///
    /// # Errors
    /// The storage failed; then the file does not exist.
    pub async fn finish(mut self) -> Result<u64, StorageError> {
        self.writer.shutdown().await?;
        Ok(self.size)
    }

    /// Discards the file.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn abort(mut self) -> Result<(), StorageError> {
        self.writer.abort().await?;
        Ok(())
    }

    /// The same writer for blocking code, on a thread that may block.
    #[must_use]
    pub fn into_blocking(self) -> BlockingWriter {
        BlockingWriter { writer: self, runtime: Handle::current() }
    }
}

/// An [`ObjectWriter`] for blocking code.
#[derive(Debug)]
pub struct BlockingWriter {
    writer: ObjectWriter,
    runtime: Handle,
}

impl BlockingWriter {
    /// Returns the async writer, to finish or abort it.
    #[must_use]
    pub fn into_inner(self) -> ObjectWriter {
        self.writer
    }
}

impl Write for BlockingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runtime
            .block_on(self.writer.writer.write_all(bytes))
            .map(|()| self.writer.size += bytes.len() as u64)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Data becomes durable when the writer is finished, not before.
        Ok(())
    }
}

/// A file, or a part of one, being read.
#[derive(Debug)]
pub struct ObjectReader {
    size: u64,
    range: Range<u64>,
    payload: GetResultPayload,
}

impl ObjectReader {
    /// The size of the whole file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes as a stream.
    ///
    /// # Errors
    /// The file cannot be read from where the range starts.
    pub async fn into_stream(self) -> Result<BoxStream<'static, io::Result<Bytes>>, StorageError> {
        match self.payload {
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                file.seek(io::SeekFrom::Start(self.range.start)).await?;
                let part = file.take(self.range.end - self.range.start);
                Ok(ReaderStream::with_capacity(part, READ_SIZE).boxed())
            }
            GetResultPayload::Stream(stream) => Ok(stream.map_err(io::Error::other).boxed()),
        }
    }

    /// The bytes for blocking code, on a thread that may block.
    #[must_use]
    pub fn into_blocking(self) -> Box<dyn Read + Send> {
        match self.payload {
            GetResultPayload::File(file, _) => Box::new(FilePart { file, range: self.range }),
            GetResultPayload::Stream(stream) => {
                let reader = StreamReader::new(stream.map_err(io::Error::other));
                Box::new(SyncIoBridge::new(Box::pin(reader)))
            }
        }
    }
}

/// A range of a local file, read independently of the file's position.
#[derive(Debug)]
struct FilePart {
    file: File,
    range: Range<u64>,
}

impl Read for FilePart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}
