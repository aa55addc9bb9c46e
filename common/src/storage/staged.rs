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

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::bucket::staged::{StagedObject, StagedUpload};
use super::local::segments::{self, Segments};
use super::local::{segment_writer, segment_writer::SegmentWriter};
use super::{Backend, ObjectKey, Storage, StorageError};

/// What the storage must know to continue or complete a staged file. It is opaque, serializable and
/// mostly small (up to 100 kB for a file of 32 GiB in a bucket), so that callers can store it in the
/// same transaction as the size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Staged(State);

/// Where the bytes are, by kind of storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Disk(Segments),
    Bucket(StagedObject),
}

impl Staged {
    /// How many bytes it contains.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            State::Disk(segments) => segments.size(),
            State::Bucket(object) => object.size(),
        }
    }

    fn segments(&self, key: ObjectKey) -> Result<&Segments, StorageError> {
        match &self.0 {
            State::Disk(segments) => Ok(segments),
            State::Bucket(_) => Err(StorageError::Lost(key)),
        }
    }

    fn object(&self, key: ObjectKey) -> Result<&StagedObject, StorageError> {
        match &self.0 {
            State::Bucket(object) => Ok(object),
            State::Disk(_) => Err(StorageError::Lost(key)),
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
        length: Option<u64>,
    ) -> Result<StagedWriter, StorageError> {
        Ok(StagedWriter(match &self.backend {
            Backend::Local(local) => {
                let segments = staged.map(|staged| staged.segments(key)).transpose()?;
                let segments = segments.cloned().unwrap_or_default();
                let folder = local.staging_folder(key);
                let opened = segment_writer::open(folder, segments, writer).await;
                Writer::Local(opened.map_err(lost(key))?)
            }
            Backend::Bucket(bucket) => {
                let object = staged.map(|staged| staged.object(key)).transpose()?;
                let object = object.cloned().unwrap_or_default();
                Writer::Bucket(Box::new(bucket.stage(key, object, writer, length).await?))
            }
        }))
    }

    /// Creates the file `key` from a staged file that is complete and whose writers were dropped.
    /// It may be repeated, also concurrently.
    ///
    /// # Errors
    /// Bytes of `staged` are missing, `key` exists with another size, or the storage failed.
    pub async fn complete(&self, key: ObjectKey, staged: &Staged) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(local) => {
                let segments = staged.segments(key)?.clone();
                segments::complete(local.staging_folder(key), segments).await.map_err(lost(key))
            }
            Backend::Bucket(bucket) => bucket.complete(key, staged.object(key)?).await,
        }
    }

    /// Deletes a staged file that was not completed; does nothing if it does not exist. Without
    /// `staged` it deletes what it finds by the key.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn discard_staged(
        &self,
        key: ObjectKey,
        staged: Option<&Staged>,
    ) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(local) => Ok(segments::discard(local.staging_folder(key)).await?),
            Backend::Bucket(bucket) => {
                let object = staged.and_then(|staged| staged.object(key).ok());
                bucket.discard_staged(key, object).await
            }
        }
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
        match &self.backend {
            Backend::Local(local) => {
                let files = parts.iter().map(|(part, size)| (local.path(*part), *size)).collect();
                let concatenated = segments::concatenate(local.staging_folder(key), files).await;
                concatenated.map_err(lost(key))
            }
            Backend::Bucket(bucket) => bucket.concatenate(key, parts).await,
        }
    }

    /// The staged files that last changed more than `age` ago.
    pub fn list_staged(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        match &self.backend {
            Backend::Local(local) => segments::list(local.root(), age),
            Backend::Bucket(bucket) => bucket.list_staged(age),
        }
    }
}

/// The error of a staged file of which a segment or a part is missing.
fn lost(key: ObjectKey) -> impl Fn(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => StorageError::Lost(key),
        io::ErrorKind::AlreadyExists => StorageError::AlreadyExists(key),
        _ => error.into(),
    }
}

/// Appends to a staged file. Dropping it discards what was written after the last checkpoint.
#[derive(Debug)]
pub struct StagedWriter(Writer);

#[derive(Debug)]
enum Writer {
    Local(SegmentWriter),
    Bucket(Box<StagedUpload>),
}

impl StagedWriter {
    /// Appends `bytes`; waits while the storage is slower. If the future is dropped before it
    /// completes, nothing of `bytes` has been appended.
    ///
    /// # Errors
    /// The storage failed; then the writer is unusable.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        match &mut self.0 {
            Writer::Local(segment) => Ok(segment.write(bytes).await?),
            Writer::Bucket(object) => object.write(bytes).await,
        }
    }

    /// Makes everything that was written durable, and returns what to store. It may be repeated if
    /// the future was dropped.
    ///
    /// To write on and call it again means that the result of the call before is stored: bytes that
    /// only older results need are then deleted. A caller that could not store it drops the writer.
    ///
    /// # Errors
    /// The storage failed; then the writer is unusable.
    pub async fn checkpoint(&mut self) -> Result<Staged, StorageError> {
        Ok(Staged(match &mut self.0 {
            Writer::Local(segment) => State::Disk(segment.checkpoint().await?),
            Writer::Bucket(object) => State::Bucket(object.checkpoint().await?),
        }))
    }
}
