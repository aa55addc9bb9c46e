//! Makes one object of several, by copies within the bucket where it can.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use object_store::path::Path;

use super::multipart::{MOST_PARTS, Part};
use super::s3::S3;
use super::{Bucket, ReadAhead};
use crate::storage::{ObjectKey, StorageError};

/// The least size of a part that is not the last.
const LEAST_PART: u64 = 5 << 20;
/// The size of a copy. Up to 5 GiB are allowed, but not every service answers in time then.
const COPY_SIZE: u64 = 256 << 20;
const COPIES_AT_ONCE: usize = 8;

/// A range of an object that becomes a part of another.
struct Copy {
    number: u32,
    source: Path,
    range: Range<u64>,
}

impl Bucket {
    pub(in crate::storage) async fn concatenate(
        &self,
        key: ObjectKey,
        parts: &[(ObjectKey, u64)],
    ) -> Result<(), StorageError> {
        let size = parts.iter().fold(0, |size: u64, (_, part)| size.saturating_add(*part));
        if self.is_complete(key, size).await? {
            return Ok(());
        }
        for (part, size) in parts {
            match self.head(&self.path(*part)).await? {
                Some(object) if object.size == *size => {}
                Some(_) => return Err(StorageError::Lost(*part)),
                None => return Err(StorageError::NotFound(*part)),
            }
        }
        match (&self.client.s3, self.copies(parts)) {
            (Some(s3), Some(copies)) => self.copy(s3, &self.path(key), copies).await,
            _ => self.stream(key, parts).await,
        }
    }

    /// The copies that make up the parts; none if the service would refuse one.
    fn copies(&self, parts: &[(ObjectKey, u64)]) -> Option<Vec<Copy>> {
        let parts: Vec<_> = parts.iter().filter(|(_, size)| *size > 0).collect();
        let (_, all_but_last) = parts.split_last()?;
        if all_but_last.iter().any(|(_, size)| *size < LEAST_PART) {
            return None;
        }
        // Half of the parts that are allowed; the rest is for those that are smaller.
        let total: u64 = parts.iter().map(|(_, size)| size).sum();
        let limit = COPY_SIZE.max(total.div_ceil(u64::from(MOST_PARTS / 2)));
        let ranges = parts.iter().flat_map(|(part, size)| {
            let source = self.path(*part);
            split_evenly(*size, limit).map(move |range| (source.clone(), range))
        });
        let copies =
            ranges.zip(1..).map(|((source, range), number)| Copy { number, source, range });
        let copies: Vec<_> = copies.collect();
        (copies.len() <= MOST_PARTS as usize).then_some(copies)
    }

    async fn copy(&self, s3: &S3, path: &Path, copies: Vec<Copy>) -> Result<(), StorageError> {
        let upload = self.create_multipart(path, None).await?;
        let copied = iter(copies.into_iter().map(|Copy { number, source, range }| {
            let upload = &upload;
            async move {
                let size = range.end - range.start;
                let etag = s3.copy_part(&source, range, path, upload, number).await?;
                Ok::<_, object_store::Error>(Part { number, etag, size })
            }
        }));
        let parts: Result<Vec<Part>, _> = copied.buffered(COPIES_AT_ONCE).try_collect().await;
        let completed = match parts {
            Ok(parts) => self.complete_multipart(path, &upload, &parts, false).await,
            Err(error) => Err(error),
        };
        if completed.is_err() {
            self.abort_multipart(path, &upload).await?;
        }
        Ok(completed?)
    }

    /// Copies through this process.
    async fn stream(&self, key: ObjectKey, parts: &[(ObjectKey, u64)]) -> Result<(), StorageError> {
        let mut writer = self.write(key);
        for (part, _) in parts {
            let mut bytes = self.open(*part, None).await?.into_stream(ReadAhead::SMALL);
            while let Some(bytes) = bytes.try_next().await? {
                let bytes: Bytes = bytes;
                writer.write(bytes).await?;
            }
        }
        writer.finish().await
    }
}

/// Splits `0..size` into as few ranges as possible that are not larger than `limit`, of about the
/// same size.
fn split_evenly(size: u64, limit: u64) -> impl Iterator<Item = Range<u64>> {
    let count = size.div_ceil(limit).max(1);
    let at = move |number: u64| (u128::from(size) * u128::from(number) / u128::from(count)) as u64;
    (0..count).map(move |number| at(number)..at(number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_split_evenly() {
        assert_eq!(split_evenly(10, 4).collect::<Vec<_>>(), [0..3, 3..6, 6..10]);
        assert_eq!(split_evenly(4, 4).count(), 1);
        let ranges: Vec<_> = split_evenly(20 * COPY_SIZE + 1, COPY_SIZE).collect();
        assert_eq!(ranges.len(), 21);
        assert!(ranges.iter().all(|range| range.end - range.start >= LEAST_PART));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
