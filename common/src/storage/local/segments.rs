//! Staged files in a local folder: segments in `uploads/{task}/{number of the writer}`.
//!
//! Usually there is one segment, which each writer continues, so that a complete file needs no
//! copying: its segment is renamed. A writer that takes over starts a segment of its own, because
//! the earlier writer may still append to the last one.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::stream::{BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{StagingFolder, blocking, entries, sync_folder};
use crate::storage::key::STAGED;
use crate::storage::{ObjectKey, StorageError};

/// How long to wait for the last write of a writer that was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often to try.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The segments of a staged file, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::storage) struct Segments(pub(super) Vec<Segment>);

/// The acknowledged part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    /// The number of the writer that started it; the name of its file.
    pub writer: u32,
    /// In bytes. It may be 0: the segment then records that its writer took over.
    pub length: u64,
}

impl Segments {
    pub(in crate::storage) fn size(&self) -> u64 {
        self.0.iter().fold(0, |size, segment| size.saturating_add(segment.length))
    }

    pub(super) fn contains(&self, writer: u32) -> bool {
        self.0.iter().any(|segment| segment.writer == writer)
    }
}

impl StagingFolder {
    pub(super) fn segment(&self, writer: u32) -> PathBuf {
        self.path.join(writer.to_string())
    }

    /// The numbers of the writers that have a segment.
    pub(super) fn writers(&self) -> io::Result<Vec<u32>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut writers = Vec::new();
        for entry in entries {
            writers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(writers)
    }

    /// Whether the complete file exists with `size` bytes; if so, makes sure that it is durable.
    fn is_complete(&self, size: u64) -> io::Result<bool> {
        match std::fs::metadata(&self.target) {
            Ok(file) if file.len() == size => {
                self.sync_target()?;
                Ok(true)
            }
            Ok(file) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("it exists with {} bytes instead of {size}", file.len()),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_target(&self) -> io::Result<()> {
        self.target.parent().map_or(Ok(()), sync_folder)
    }

    /// Renames a durable file of the folder to the complete file.
    fn publish(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = self.target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::rename(file, &self.target)?;
        self.sync_target()
    }

    /// Removes the folder with what earlier writers left. Errors are ignored: what remains is
    /// listed, and so discarded later.
    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }

    /// Copies the starts of `sources` to one file and makes it the complete file.
    fn publish_copy(&self, sources: &[(PathBuf, u64)]) -> io::Result<()> {
        self.create()?;
        let path = self.path.join(format!("complete-{}", Uuid::new_v4()));
        let copied = copy(sources, &path).and_then(|()| self.publish(&path));
        if copied.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        copied
    }
}

fn copy(sources: &[(PathBuf, u64)], to: &Path) -> io::Result<()> {
    let mut to = File::create_new(to)?;
    for (path, length) in sources {
        let from = File::open(path)?;
        // With files on both sides, Linux copies without the bytes passing through this process,
        // and shares the blocks where the file system can.
        if io::copy(&mut from.take(*length), &mut to)? != *length {
            return Err(missing_bytes());
        }
    }
    to.sync_all()
}

pub(super) fn missing_bytes() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "acknowledged bytes are missing")
}

/// Locks a segment, so that no other writer of this machine appends to it; false if another one
/// still does. The lock ends with the last handle of `file`, thus after the last write.
pub(super) fn try_lock(file: &File) -> bool {
    // Some shared file systems have no locks.
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Repeats `attempt` while it returns none, for as long as a dropped writer may take to finish.
pub(super) async fn until_unlocked<T: Send + 'static>(
    attempt: impl Fn() -> io::Result<Option<T>> + Clone + Send + 'static,
) -> io::Result<Option<T>> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let outcome = blocking(attempt.clone()).await?;
        if outcome.is_some() || Instant::now() >= deadline {
            return Ok(outcome);
        }
        sleep(LOCK_POLL).await;
    }
}

/// Makes the complete file of `segments`.
pub(in crate::storage) async fn complete(
    folder: StagingFolder,
    segments: Segments,
) -> io::Result<()> {
    let size = segments.size();
    if let [segment] = *segments.0 {
        let folder = folder.clone();
        let rename = move || {
            if !folder.is_complete(size)? {
                let renamed = rename_segment(&folder, segment);
                if or_complete(renamed, &folder, size)?.is_none() {
                    return Ok(None);
                }
            }
            folder.remove();
            Ok(Some(()))
        };
        if until_unlocked(rename).await?.is_some() {
            return Ok(());
        }
    }
    blocking(move || {
        let sources: Vec<_> = segments
            .0
            .iter()
            .map(|segment| (folder.segment(segment.writer), segment.length))
            .collect();
        publish_copy_once(&folder, &sources, size)
    })
    .await
}

/// Renames the only segment to the complete file; none while another writer has it open.
fn rename_segment(folder: &StagingFolder, segment: Segment) -> io::Result<Option<()>> {
    let path = folder.segment(segment.writer);
    let file = File::options().write(true).open(&path)?;
    if !try_lock(&file) {
        return Ok(None);
    }
    let length = file.metadata()?.len();
    if length < segment.length {
        return Err(missing_bytes());
    }
    if length > segment.length {
        file.set_len(segment.length)?;
        file.sync_all()?;
    }
    folder.publish(&path)?;
    Ok(Some(()))
}

fn publish_copy_once(
    folder: &StagingFolder,
    sources: &[(PathBuf, u64)],
    size: u64,
) -> io::Result<()> {
    if !folder.is_complete(size)? {
        or_complete(folder.publish_copy(sources).map(Some), folder, size)?;
    }
    folder.remove();
    Ok(())
}

/// A concurrent call may have completed the file and removed what this one needs.
fn or_complete(
    outcome: io::Result<Option<()>>,
    folder: &StagingFolder,
    size: u64,
) -> io::Result<Option<()>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if folder.is_complete(size)? {
                Ok(Some(()))
            } else {
                Err(error)
            }
        }
        outcome => outcome,
    }
}

/// Makes the complete file of the files `parts` with their sizes.
pub(in crate::storage) async fn concatenate(
    folder: StagingFolder,
    parts: Vec<(PathBuf, u64)>,
) -> io::Result<()> {
    blocking(move || {
        let size = parts.iter().fold(0, |size: u64, (_, part)| size.saturating_add(*part));
        publish_copy_once(&folder, &parts, size)
    })
    .await
}

/// Removes the segments.
pub(in crate::storage) async fn discard(folder: StagingFolder) -> io::Result<()> {
    blocking(move || match std::fs::remove_dir_all(&folder.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
    .await
}

/// The staged files below `root` that last changed more than `age` ago.
pub(in crate::storage) fn list(
    root: &Path,
    age: Duration,
) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
    let key = move |entry: tokio::fs::DirEntry| async move {
        let task_id = entry.file_name().to_str()?.parse().ok()?;
        let path = entry.path();
        match blocking(move || last_change(&path)).await {
            Ok(time) if SystemTime::now().duration_since(time).unwrap_or_default() < age => None,
            Ok(_) => Some(Ok(ObjectKey::Input(task_id))),
            // Completed or discarded since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error.into())),
        }
    };
    entries(root.join(STAGED))
        .filter_map(move |entry| async move {
            match entry {
                Ok(entry) => key(entry).await,
                Err(error) => Some(Err(error.into())),
            }
        })
        .boxed()
}

/// When a folder or one of its files last changed.
fn last_change(folder: &Path) -> io::Result<SystemTime> {
    let mut latest = std::fs::metadata(folder)?.modified()?;
    for entry in std::fs::read_dir(folder)? {
        latest = latest.max(entry?.metadata()?.modified()?);
    }
    Ok(latest)
}
