//! Reads files.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::StorageError;
use super::bucket::{OpenObject, ReadAhead};
use super::local::OpenFile;

/// The size of the chunks in which a local file is read for a download.
const READ_SIZE: usize = 256 << 10;

/// A file, or a part of one, being read.
#[derive(Debug)]
pub struct ObjectReader {
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Local(OpenFile),
    Bucket(OpenObject),
}

impl ObjectReader {
    /// The size of the whole file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.source {
            Source::Local(file) => file.size,
            Source::Bucket(object) => object.size,
        }
    }

    /// Only the part `range` of the file, which must be within it.
    #[must_use]
    pub fn part(mut self, range: Range<u64>) -> Self {
        match &mut self.source {
            Source::Local(file) => file.range = range,
            Source::Bucket(object) => object.range = range,
        }
        self
    }

    /// The bytes as a stream.
    ///
    /// # Errors
    /// The file cannot be read from where the range starts.
    pub async fn into_stream(self) -> Result<BoxStream<'static, io::Result<Bytes>>, StorageError> {
        match self.source {
            Source::Local(OpenFile { file, range, .. }) => {
                let mut file = tokio::fs::File::from_std(file);
                file.seek(io::SeekFrom::Start(range.start)).await?;
                let part = file.take(range.end - range.start);
                Ok(ReaderStream::with_capacity(part, READ_SIZE).boxed())
            }
            Source::Bucket(object) => Ok(object.into_stream(ReadAhead::SMALL)),
        }
    }

    /// The bytes for blocking code, on a thread of the runtime that may block.
    #[must_use]
    pub fn into_blocking(self) -> Box<dyn Read + Send> {
        match self.source {
            Source::Local(OpenFile { file, range, .. }) => Box::new(FilePart { file, range }),
            Source::Bucket(object) => {
                let reader = StreamReader::new(object.into_stream(ReadAhead::FAST));
                Box::new(SyncIoBridge::new(reader))
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
