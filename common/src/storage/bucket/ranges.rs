//! Reads an object by ranges, several at a time and in order, so that a broken connection costs one
//! range, and memory is bounded.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, iter};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio_util::task::AbortOnDropHandle;

use super::Bucket;
use crate::storage::{ObjectKey, StorageError};

/// How an object is read ahead.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct ReadAhead {
    /// The size of a range in bytes.
    range: u64,
    /// How many ranges are fetched at a time; all of them may be in memory.
    ranges: usize,
}

impl ReadAhead {
    /// For a worker, which reads few files and as fast as it can.
    pub(in crate::storage) const FAST: Self = Self { range: 8 << 20, ranges: 4 };
    /// For downloads, of which there may be many.
    pub(in crate::storage) const SMALL: Self = Self { range: 4 << 20, ranges: 2 };
}

/// An object, or a part of one, for reading.
#[derive(Debug)]
pub(in crate::storage) struct OpenObject {
    bucket: Bucket,
    path: Path,
    /// All ranges are of this version of the object.
    etag: Option<String>,
    /// The size of the whole object in bytes.
    pub(in crate::storage) size: u64,
    pub(in crate::storage) range: Range<u64>,
}

impl Bucket {
    pub(in crate::storage) async fn open(
        &self,
        key: ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<OpenObject, StorageError> {
        let path = self.path(key);
        let Some(object) = self.head(&path).await? else {
            return Err(StorageError::NotFound(key));
        };
        let size = object.size;
        let range = match range {
            None => 0..size,
            Some(range) if range.start < size => range.start..range.end.min(size),
            Some(_) => {
                let reason = "the range starts after the end of the file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason).into());
            }
        };
        Ok(OpenObject { bucket: self.clone(), path, etag: object.e_tag, size, range })
    }
}

impl OpenObject {
    pub(in crate::storage) fn into_stream(
        self,
        ahead: ReadAhead,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let Self { bucket, path, etag, range, .. } = self;
        iter(split(range, ahead.range))
            .map(move |range| {
                let fetched = fetch(bucket.clone(), path.clone(), etag.clone(), range);
                // A task of its own, so that it continues while the reader is busy.
                let task = AbortOnDropHandle::new(tokio::spawn(fetched));
                async move { task.await.map_err(io::Error::other).flatten() }
            })
            .buffered(ahead.ranges)
            .boxed()
    }
}

fn split(range: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let next = start..range.end.min(start.saturating_add(size));
        start = next.end;
        (next.start < next.end).then_some(next)
    })
}

async fn fetch(
    bucket: Bucket,
    path: Path,
    etag: Option<String>,
    range: Range<u64>,
) -> io::Result<Bytes> {
    let expected = range.end - range.start;
    let options = GetOptions {
        range: Some(GetRange::Bounded(range)),
        if_match: etag,
        ..GetOptions::default()
    };
    // A broken connection resumes within the range.
    let result = bucket.client.objects.get_opts(&path, options).await.map_err(read_error)?;
    let bytes = result.bytes().await.map_err(read_error)?;
    if bytes.len() as u64 == expected {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bucket sent a part of a range"))
}

fn read_error(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::Precondition { .. } => {
            io::Error::other("the file was replaced while it was read")
        }
        error @ object_store::Error::NotFound { .. } => {
            io::Error::new(io::ErrorKind::NotFound, error)
        }
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_split_without_gaps() {
        let parts: Vec<_> = split(3..20, 8).collect();
        assert_eq!(parts, [3..11, 11..19, 19..20]);
        assert_eq!(split(5..5, 8).count(), 0);
        assert_eq!(split(0..16, 8).count(), 2);
    }
}
