//! The bucket of files: inputs in `raw_data/`, outputs in `processed_data/`, staged files in
//! `uploads/`.
//!
//! # Invariants
//! - Paths are known only to this module; callers name files by task and type.
//! - A file appears completely or not at all, and is durable when [`ObjectWriter::finish`] returns.
//! - Outputs are per attempt, so a worker presumed dead overwrites no other result; they are created
//!   and never replaced.

mod key;
mod local;
mod reader;
mod staged;
#[cfg(test)]
mod tests;
mod writer;

pub use key::{ObjectKey, OutputPart};
pub use reader::ObjectReader;
pub use staged::{Staged, StagedWriter, StagingWriter};
pub use writer::{BlockingWriter, ObjectWriter};

use std::io;
use std::ops::Range;
use std::path::Path as FsPath;
use std::time::{Duration, SystemTime};

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;

use self::key::{INPUTS, OUTPUTS};
use self::local::LocalFolder;
use crate::task::TaskId;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file does not exist.
    #[error("{0} is not in the storage")]
    NotFound(ObjectKey),
    /// An output exists already.
    #[error("{0} is already in the storage")]
    AlreadyExists(ObjectKey),
    /// The storage failed.
    #[error("the storage failed: {0}")]
    Store(#[from] object_store::Error),
    /// A local folder or file failed.
    #[error("the storage failed: {0}")]
    Io(#[from] io::Error),
}

/// The bucket. Clones share it.
#[derive(Debug, Clone)]
pub struct Storage {
    folder: LocalFolder,
}

impl Storage {
    /// A bucket in a local folder, which is created if missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn local(folder: &FsPath) -> Result<Self, StorageError> {
        Ok(Self { folder: LocalFolder::create(folder)? })
    }

    /// Whether files can be written, for `/readyz`. Creates the folders again if they were deleted.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub async fn check(&self) -> Result<(), StorageError> {
        Ok(self.folder.check().await?)
    }

    /// Starts a new file.
    #[must_use]
    pub fn create(&self, key: ObjectKey) -> ObjectWriter {
        ObjectWriter { file: self.folder.write(key), size: 0 }
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
        Ok(ObjectReader { file: self.folder.open(key, range).await? })
    }

    /// Deletes a file; does nothing if it does not exist.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete(&self, key: ObjectKey) -> Result<(), StorageError> {
        self.folder.delete(key).await
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
        let folder = Path::from_iter([OUTPUTS, &task_id.to_string()]);
        let keys: Vec<ObjectKey> = self.folder.list(&folder, Duration::ZERO).try_collect().await?;
        for key in keys {
            self.delete(key).await?;
        }
        self.folder.remove_folder(task_id).await;
        Ok(())
    }

    /// The inputs that were written more than `age` ago.
    pub fn list_inputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        self.folder.list(&Path::from(INPUTS), age)
    }

    /// The outputs of all attempts that were written more than `age` ago. An unreadable folder
    /// results in an error, followed by the files of the others.
    pub fn list_outputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        self.folder.list_outputs(age)
    }

    /// Deletes the unfinished files that a killed process left more than `age` ago; returns how
    /// many.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn remove_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        Ok(self.folder.remove_unfinished(age).await?)
    }
}

/// The keys of those objects that were written more than `age` ago.
fn keys(
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
    age: Duration,
) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
    let is_old = move |object: &ObjectMeta| {
        let written = SystemTime::from(object.last_modified);
        SystemTime::now().duration_since(written).unwrap_or_default() >= age
    };
    objects
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

fn not_found(key: ObjectKey) -> impl Fn(object_store::Error) -> StorageError {
    move |error| match error {
        object_store::Error::NotFound { .. } => StorageError::NotFound(key),
        error => error.into(),
    }
}
