//! Writes files.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::StorageError;
use super::bucket::ObjectUpload;
use super::local::ObjectFile;

/// A file being written. It appears when [`finish`](Self::finish) returns; dropping it before that
/// discards it.
#[derive(Debug)]
pub struct ObjectWriter {
    target: Target,
    size: u64,
}

#[derive(Debug)]
pub(super) enum Target {
    Local(ObjectFile),
    Bucket(Box<ObjectUpload>),
}

impl ObjectWriter {
    pub(super) fn new(target: Target) -> Self {
        Self { target, size: 0 }
    }

    /// Appends `bytes`; waits while the storage is slower. If the future is dropped before it
    /// completes, nothing of `bytes` has been appended.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let size = bytes.len() as u64;
        match &mut self.target {
            Target::Local(file) => file.write(bytes).await?,
            Target::Bucket(object) => object.write(bytes).await?,
        }
        self.size += size;
        Ok(())
    }

    /// Makes the file durable and visible; returns its size in bytes.
    ///
    /// # Errors
    /// An output exists already, or the storage failed; then this file does not exist.
    pub async fn finish(self) -> Result<u64, StorageError> {
        match self.target {
            Target::Local(file) => file.finish().await?,
            Target::Bucket(object) => object.finish().await?,
        }
        Ok(self.size)
    }

    /// Discards the file.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn abort(self) -> Result<(), StorageError> {
        match self.target {
            Target::Local(file) => Ok(file.abort().await?),
            Target::Bucket(object) => object.abort().await,
        }
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
        let written = self.writer.write(Bytes::copy_from_slice(bytes));
        self.runtime.block_on(written).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Data becomes durable when the writer is finished, not before.
        Ok(())
    }
}
