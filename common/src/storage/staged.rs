//! Staged files: files that arrive over several requests, possibly on several servers.
//!
//! # Invariants
//! - Bytes count as received when the caller has stored the [`Staged`] of a checkpoint; whatever
//!   was written after it is overwritten by the next writer.
//! - A writer that is presumed dead never changes the bytes of a later one, even if it resumes.
//! - A file appears under its key completely or not at all.
//!
//! # Not here
//! Who may write, and when: callers number the writers of a file.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::local::segments::{self, Segments};
use super::local::{segment_writer, segment_writer::SegmentWriter};
use super::{ObjectKey, Storage, StorageError};

/// What the storage must know to continue or complete a staged file. It is opaque, small and
/// serializable, so that callers can store it in the same transaction as the size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Staged(State);

/// Where the bytes are, by kind of storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Disk(Segments),
}

impl Staged {
    /// How many bytes it contains.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            State::Disk(segments) => segments.size(),
        }
    }

    pub(super) fn on_disk(segments: Segments) -> Self {
        Self(State::Disk(segments))
    }

    fn segments(staged: Option<&Self>) -> Segments {
        match staged {
            None => Segments::default(),
            Some(Self(State::Disk(segments))) => segments.clone(),
        }
    }
}

/// Identifies a writer of a staged file among all its writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagingWriter {
    /// Higher than the numbers of all earlier writers of the file.
    pub number: u32,
    /// Whether an earlier writer may still be running. It must be set until this writer or a later
    /// one that took over has stored a checkpoint.
    pub takes_over: bool,
}

impl Storage {
    /// Continues the staged file for the input `key` after the bytes of `staged`, or starts one.
    /// `length` is its final size in bytes if known.
    ///
    /// # Errors
    /// Bytes of `staged` are missing, the number of the writer was used before, or the storage
    /// failed.
    pub async fn stage(
        &self,
        key: ObjectKey,
        staged: Option<&Staged>,
        writer: StagingWriter,
        _length: Option<u64>,
    ) -> Result<StagedWriter, StorageError> {
        let folder = self.folder.staging_folder(key);
        let writer = segment_writer::open(folder, Staged::segments(staged), writer).await?;
        Ok(StagedWriter { writer })
    }

    /// Creates the file `key` from a staged file that is complete and whose writers were dropped.
    /// It may be repeated, also concurrently.
    ///
    /// # Errors
    /// Bytes of `staged` are missing, `key` exists with another size, or the storage failed.
    pub async fn complete(&self, key: ObjectKey, staged: &Staged) -> Result<(), StorageError> {
        let segments = Staged::segments(Some(staged));
        Ok(segments::complete(self.folder.staging_folder(key), segments).await?)
    }

    /// Deletes a staged file that was not completed; does nothing if it does not exist. Without
    /// `staged` it deletes what it finds by the key.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn discard_staged(
        &self,
        key: ObjectKey,
        _staged: Option<&Staged>,
    ) -> Result<(), StorageError> {
        Ok(segments::discard(self.folder.staging_folder(key)).await?)
    }

    /// Creates the file `key` from the complete files `parts` with their sizes in bytes, in this
    /// order. The parts are kept. It may be repeated, also concurrently.
    ///
    /// # Errors
    /// A part does not exist or has another size, `key` exists with another size, or the storage
    /// failed.
    pub async fn concatenate(
        &self,
        key: ObjectKey,
        parts: &[(ObjectKey, u64)],
    ) -> Result<(), StorageError> {
        let files = parts.iter().map(|(part, size)| (self.folder.path(*part), *size)).collect();
        Ok(segments::concatenate(self.folder.staging_folder(key), files).await?)
    }

    /// The staged files that last changed more than `age` ago.
    pub fn list_staged(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        segments::list(self.folder.root(), age)
    }
}

/// Appends to a staged file. Dropping it discards what was written after the last checkpoint.
#[derive(Debug)]
pub struct StagedWriter {
    writer: SegmentWriter,
}

impl StagedWriter {
    /// Appends `bytes`; waits while the storage is slower. If the future is dropped before it
    /// completes, nothing of `bytes` has been appended.
    ///
    /// # Errors
    /// The storage failed; then the writer is unusable.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        Ok(self.writer.write(bytes).await?)
    }

    /// Makes everything that was written durable, and returns what to store. It may be repeated if
    /// the future was dropped.
    ///
    /// # Errors
    /// The storage failed; then the writer is unusable.
    pub async fn checkpoint(&mut self) -> Result<Staged, StorageError> {
        Ok(Staged::on_disk(self.writer.checkpoint().await?))
    }
}
