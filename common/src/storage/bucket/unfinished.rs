//! Multipart uploads that were neither completed nor aborted, such as those of killed processes.

use std::time::{Duration, SystemTime};

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, iter, try_unfold};
use object_store::path::Path;

use super::Bucket;
use super::s3::MultipartUpload;
use crate::storage::{ObjectKey, StorageError};

/// A file that was begun and not finished.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The file.
    pub key: ObjectKey,
    pub(super) path: Path,
    pub(super) upload: String,
}

impl Bucket {
    /// Those that began more than `age` ago. None for services that remove them by themselves.
    pub(in crate::storage) fn list_unfinished(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<Unfinished, StorageError>> {
        let bucket = self.clone();
        let is_old = move |upload: &MultipartUpload| {
            let begun = SystemTime::from(upload.initiated);
            SystemTime::now().duration_since(begun).unwrap_or_default() >= age
        };
        self.uploads(self.client.prefix.as_ref())
            .try_filter_map(move |upload| {
                let found = is_old(&upload).then(|| bucket.unfinished(upload)).flatten();
                async move { Ok(found) }
            })
            .boxed()
    }

    fn unfinished(&self, upload: MultipartUpload) -> Option<Unfinished> {
        let path = Path::parse(&upload.key).ok()?;
        Some(Unfinished { key: self.key(&path)?, path, upload: upload.upload_id })
    }

    pub(in crate::storage) async fn discard(
        &self,
        unfinished: &Unfinished,
    ) -> Result<(), StorageError> {
        Ok(self.abort_multipart(&unfinished.path, &unfinished.upload).await?)
    }

    /// Aborts all uploads of an object.
    pub(super) async fn abort_uploads(&self, path: &Path) -> Result<(), StorageError> {
        let mut uploads = self.uploads(path.as_ref());
        while let Some(upload) = uploads.try_next().await? {
            if upload.key == path.as_ref() {
                self.abort_multipart(path, &upload.upload_id).await?;
            }
        }
        Ok(())
    }

    /// The uploads of objects whose names start with `prefix`.
    fn uploads(&self, prefix: &str) -> BoxStream<'static, Result<MultipartUpload, StorageError>> {
        let (bucket, prefix) = (self.clone(), prefix.to_owned());
        let pages = try_unfold(Some(None), move |after: Option<Option<MultipartUpload>>| {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            async move {
                let (Some(after), Some(s3)) = (after, &bucket.client.s3) else { return Ok(None) };
                let (page, is_truncated) = s3.list_uploads(&prefix, after.as_ref()).await?;
                let next = page.last().filter(|_| is_truncated).cloned().map(Some);
                Ok::<_, StorageError>(Some((iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }
}
