//! The bucket of files: inputs in `raw_data/`, outputs in `processed_data/`, staged files in
//! `uploads/`.
//!
//! # Invariants
//! - Paths are known only to this module; callers name files by task and type.
//! - A file appears completely or not at all, and is durable when [`ObjectWriter::finish`] returns.
//! - Outputs are per attempt, so a worker presumed dead overwrites no other result; they are created
//!   and never replaced.

mod bucket;
mod key;
mod local;
mod location;
mod reader;
mod space;
mod staged;
#[cfg(test)]
mod tests;
mod writer;

pub use bucket::Unfinished;
pub use key::{ObjectKey, OutputPart};
pub use location::{BucketUrl, Location, StorageConfig};
pub use reader::ObjectReader;
pub use space::{DiskSpace, is_out_of_space};
pub use staged::{Staged, StagedWriter, StagingWriter};
pub use writer::{BlockingWriter, ObjectWriter};

use std::io;
use std::ops::Range;
use std::path::Path as FsPath;
use std::time::{Duration, SystemTime};

use futures_util::future::ready;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, empty};
use object_store::ObjectMeta;
use object_store::path::Path;

use self::bucket::Bucket;
use self::key::{INPUTS, OUTPUTS};
use self::local::LocalFolder;
use self::reader::Source;
use self::writer::Target;
use crate::causes::with_causes;
use crate::task::TaskId;
use crate::tls::Trust;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file does not exist.
    #[error("{0} is not in the storage")]
    NotFound(ObjectKey),
    /// An output exists already, or a file of another size.
    #[error("{0} is already in the storage")]
    AlreadyExists(ObjectKey),
    /// Bytes of a staged file or a part that were received before are missing.
    #[error("received bytes of {0} are missing in the storage")]
    Lost(ObjectKey),
    /// The folder or the bucket cannot be used, or not with these settings.
    #[error("{0} cannot be used: {1}")]
    Unusable(Location, String),
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
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    Local(LocalFolder),
    Bucket(Bucket),
}

impl Storage {
    /// The folder or the bucket of the settings. A missing folder is created; a bucket is not used
    /// yet. `trust` is for buckets with TLS.
    ///
    /// # Errors
    /// The folder cannot be created, or the settings are incomplete.
    pub fn connect(config: &StorageConfig, trust: &Trust) -> Result<Self, StorageError> {
        let unusable = |reason| StorageError::Unusable(config.location.clone(), reason);
        let url = match &config.location {
            Location::Folder(folder) => {
                return Self::local(folder).map_err(|error| unusable(error.to_string()));
            }
            Location::Bucket(url) => url,
        };
        let bucket = Bucket::connect(config, url, trust);
        let bucket = bucket.map_err(|error| unusable(with_causes(error.as_ref())))?;
        Ok(Self { backend: Backend::Bucket(bucket) })
    }

    /// A bucket in a local folder, which is created if missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn local(folder: &FsPath) -> Result<Self, StorageError> {
        Ok(Self { backend: Backend::Local(LocalFolder::create(folder)?) })
    }

    /// Whether files can be written, for `/readyz`. Creates the folders again if they were deleted.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub async fn check(&self) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(folder) => Ok(folder.check().await?),
            Backend::Bucket(bucket) => bucket.check().await,
        }
    }

    /// The space of the disk; none for a bucket.
    ///
    /// # Errors
    /// The folder does not exist, or its disk does not respond.
    pub async fn space(&self) -> Result<Option<DiskSpace>, StorageError> {
        match &self.backend {
            Backend::Local(folder) => Ok(Some(folder.space().await?)),
            Backend::Bucket(_) => Ok(None),
        }
    }

    /// Starts a new file.
    #[must_use]
    pub fn create(&self, key: ObjectKey) -> ObjectWriter {
        ObjectWriter::new(match &self.backend {
            Backend::Local(folder) => Target::Local(folder.write(key)),
            Backend::Bucket(bucket) => Target::Bucket(Box::new(bucket.write(key))),
        })
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
        let source = match &self.backend {
            Backend::Local(folder) => Source::Local(folder.open(key, range).await?),
            Backend::Bucket(bucket) => Source::Bucket(bucket.open(key, range).await?),
        };
        Ok(ObjectReader { source })
    }

    /// A URL from which anyone can download the file for the time `valid_for`, with these values of
    /// the headers Content-Disposition and Content-Type. None if the storage has no such URLs.
    ///
    /// # Errors
    /// The access key cannot be fetched.
    pub async fn presigned(
        &self,
        key: ObjectKey,
        disposition: &str,
        media_type: &str,
        valid_for: Duration,
    ) -> Result<Option<String>, StorageError> {
        match &self.backend {
            Backend::Local(_) => Ok(None),
            Backend::Bucket(bucket) => {
                bucket.presigned(key, disposition, media_type, valid_for).await
            }
        }
    }

    /// Makes the file `to` a copy of the complete file `from`, which has `size` bytes, within the
    /// storage: by a link or a copy on the disk, or by the service of the bucket. It may be
    /// repeated.
    ///
    /// # Errors
    /// `from` does not exist or has another size, `to` exists with another size, or the storage
    /// failed.
    pub async fn copy(
        &self,
        from: ObjectKey,
        to: ObjectKey,
        size: u64,
    ) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(folder) => folder.copy(from, to, size).await,
            Backend::Bucket(bucket) => bucket.concatenate(to, &[(from, size)]).await,
        }
    }

    /// Deletes a file; does nothing if it does not exist.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn delete(&self, key: ObjectKey) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(folder) => folder.delete(key).await,
            Backend::Bucket(bucket) => bucket.delete(key).await,
        }
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
        let keys: Vec<ObjectKey> = self.list(&folder, Duration::ZERO).try_collect().await?;
        for key in keys {
            self.delete(key).await?;
        }
        if let Backend::Local(folder) = &self.backend {
            folder.remove_folder(task_id).await;
        }
        Ok(())
    }

    /// The inputs that were written more than `age` ago.
    pub fn list_inputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        self.list(&Path::from(INPUTS), age)
    }

    /// The outputs of all attempts that were written more than `age` ago. An unreadable folder
    /// results in an error, followed by the files of the others.
    pub fn list_outputs(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        match &self.backend {
            Backend::Local(folder) => folder.list_outputs(age),
            Backend::Bucket(_) => self.list(&Path::from(OUTPUTS), age),
        }
    }

    fn list(
        &self,
        folder: &Path,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        match &self.backend {
            Backend::Local(local) => local.list(folder, age),
            Backend::Bucket(bucket) => bucket.list(folder, age),
        }
    }

    /// Deletes the unfinished files that a killed process left more than `age` ago in a local
    /// folder; returns how many. For a bucket, see [`list_unfinished`](Self::list_unfinished).
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn remove_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        match &self.backend {
            Backend::Local(folder) => Ok(folder.remove_unfinished(age).await?),
            Backend::Bucket(_) => Ok(0),
        }
    }

    /// The unfinished files in a bucket that were begun more than `age` ago. Nothing tells whether
    /// they are still being written, so that the caller must know whether a file is needed. For a
    /// local folder, see [`remove_unfinished`](Self::remove_unfinished).
    pub fn list_unfinished(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<Unfinished, StorageError>> {
        match &self.backend {
            Backend::Local(_) => empty().boxed(),
            Backend::Bucket(bucket) => bucket.list_unfinished(age),
        }
    }

    /// Deletes what exists of an unfinished file.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn discard(&self, unfinished: &Unfinished) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Local(_) => Ok(()),
            Backend::Bucket(bucket) => bucket.discard(unfinished).await,
        }
    }
}

/// The keys of those objects that were written more than `age` ago.
fn keys(
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
    age: Duration,
    key: impl Fn(&Path) -> Option<ObjectKey> + Send + 'static,
) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
    let is_old = move |object: &ObjectMeta| {
        let written = SystemTime::from(object.last_modified);
        SystemTime::now().duration_since(written).unwrap_or_default() >= age
    };
    objects
        .filter_map(move |object| {
            ready(match object {
                Ok(object) if !is_old(&object) => None,
                Ok(object) => key(&object.location).map(Ok),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => Some(Err(error.into())),
            })
        })
        .boxed()
}

fn not_found(key: ObjectKey) -> impl Fn(object_store::Error) -> StorageError {
    move |error| match error {
        object_store::Error::NotFound { .. } => StorageError::NotFound(key),
        error => error.into(),
    }
}
