//! Multipart uploads: an object whose parts are sent independently.

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Attribute, Attributes, PutMultipartOptions, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Bucket;
use super::gathered::Gathered;

/// How many parts of an upload are sent at a time. Together with the part that is being gathered,
/// they are the memory of an upload.
pub(super) const PARTS_AT_ONCE: usize = 2;

/// How many parts an object can have.
pub(super) const MOST_PARTS: u32 = 10_000;

/// The name of the attribute that tells who wrote an object.
const WRITER: &str = "writer";

/// A part that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its place among the parts, from 1.
    pub(super) number: u32,
    pub(super) etag: String,
    /// In bytes.
    pub(super) size: u64,
}

impl Bucket {
    pub(super) async fn create_multipart(
        &self,
        path: &Path,
        writer: Option<Uuid>,
    ) -> object_store::Result<String> {
        let attributes = attributes(writer);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        self.client.multipart.create_multipart_opts(path, options).await
    }

    pub(super) async fn put_part(
        &self,
        path: &Path,
        upload: &String,
        number: u32,
        payload: PutPayload,
    ) -> object_store::Result<Part> {
        let size = payload.content_length() as u64;
        let index = number.saturating_sub(1) as usize;
        let part = self.client.multipart.put_part(path, upload, index, payload).await?;
        Ok(Part { number, etag: part.content_id, size })
    }

    /// Completes an upload; with `create_only` only if no object of this name exists. An error may
    /// hide a success: an earlier attempt of which the answer was lost.
    pub(super) async fn complete_multipart(
        &self,
        path: &Path,
        upload: &String,
        parts: &[Part],
        create_only: bool,
    ) -> object_store::Result<()> {
        if let Some(s3) = &self.client.s3 {
            return s3.complete(path, upload, parts, create_only).await;
        }
        // The other services have no condition here: the object may appear in between.
        if create_only && self.head(path).await?.is_some() {
            let source = "an object of this name exists".into();
            return Err(object_store::Error::Precondition { path: path.to_string(), source });
        }
        let parts = parts.iter().map(|part| PartId { content_id: part.etag.clone() }).collect();
        self.client.multipart.complete_multipart(path, upload, parts).await.map(drop)
    }

    /// Aborts an upload; does nothing if it does not exist.
    pub(super) async fn abort_multipart(
        &self,
        path: &Path,
        upload: &String,
    ) -> object_store::Result<()> {
        match self.client.multipart.abort_multipart(path, upload).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            aborted => aborted,
        }
    }
}

/// Marks an object as written by `writer`, who recognizes it after an answer was lost.
pub(super) fn attributes(writer: Option<Uuid>) -> Attributes {
    let mark = |writer: Uuid| (Attribute::Metadata(WRITER.into()), writer.to_string());
    writer.map(mark).into_iter().collect()
}

/// Whether attributes are those of `writer`.
pub(super) fn are_of(attributes: &Attributes, writer: Uuid) -> bool {
    let mark = attributes.get(&Attribute::Metadata(WRITER.into()));
    mark.is_some_and(|mark| mark.as_ref() == writer.to_string())
}

/// Sends the parts of one upload, several at a time.
#[derive(Debug)]
pub(super) struct PartUploads {
    bucket: Bucket,
    path: Path,
    writer: Option<Uuid>,
    upload: Option<String>,
    next_number: u32,
    sending: JoinSet<object_store::Result<Part>>,
    sent: Vec<Part>,
    /// Whether the upload is aborted when this is dropped.
    is_own: bool,
    failed: bool,
}

impl PartUploads {
    /// For an upload that the first part creates.
    pub(super) fn new(bucket: Bucket, path: Path, writer: Option<Uuid>) -> Self {
        Self {
            bucket,
            path,
            writer,
            upload: None,
            next_number: 1,
            sending: JoinSet::new(),
            sent: Vec::new(),
            is_own: true,
            failed: false,
        }
    }

    /// For an upload that an earlier writer created, from this number of a part on.
    pub(super) fn resume(&mut self, upload: String, sent: Vec<Part>, next_number: u32) {
        self.upload = Some(upload);
        self.is_own = false;
        self.sent = sent;
        self.next_number = next_number;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn upload(&self) -> Option<&String> {
        self.upload.as_ref()
    }

    pub(super) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// The parts that are in the bucket.
    pub(super) fn sent(&self) -> &[Part] {
        &self.sent
    }

    /// Others know the upload now, and continue or abort it.
    pub(super) fn hand_over(&mut self) {
        self.is_own = false;
    }

    /// Starts to send the next part: the first bytes of `gathered`, at most `size`. Waits while
    /// enough parts are being sent. If the future is dropped before it completes, no bytes were
    /// taken.
    pub(super) async fn send(
        &mut self,
        gathered: &mut Gathered,
        size: u64,
    ) -> object_store::Result<()> {
        if self.next_number > MOST_PARTS {
            return Err(generic("the file has too many parts"));
        }
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.bucket.create_multipart(&self.path, self.writer).await?;
                self.upload.insert(upload).clone()
            }
        };
        while self.sending.len() >= PARTS_AT_ONCE {
            self.finish_one().await?;
        }
        // Nothing is awaited from here, so that a cancelled call loses no bytes.
        let payload = gathered.take(size);
        let (bucket, path, number) = (self.bucket.clone(), self.path.clone(), self.next_number);
        self.next_number += 1;
        self.sending.spawn(async move { bucket.put_part(&path, &upload, number, payload).await });
        Ok(())
    }

    /// Waits until all parts are in the bucket; then [`sent`](Self::sent) has them in order.
    pub(super) async fn finish(&mut self) -> object_store::Result<()> {
        while !self.sending.is_empty() {
            self.finish_one().await?;
        }
        if self.failed {
            return Err(generic("an earlier part failed"));
        }
        self.sent.sort_unstable_by_key(|part| part.number);
        Ok(())
    }

    async fn finish_one(&mut self) -> object_store::Result<()> {
        let part = match self.sending.join_next().await {
            Some(Ok(part)) => part,
            Some(Err(error)) => Err(generic(error)),
            None => return Ok(()),
        };
        self.failed |= part.is_err();
        self.sent.push(part?);
        Ok(())
    }

    /// Aborts the upload.
    pub(super) async fn abort(mut self) -> object_store::Result<()> {
        self.sending.shutdown().await;
        match self.upload.take() {
            Some(upload) => self.bucket.abort_multipart(&self.path, &upload).await,
            None => Ok(()),
        }
    }

    /// The upload was completed.
    pub(super) fn forget(mut self) {
        self.upload = None;
    }
}

impl Drop for PartUploads {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take().filter(|_| self.is_own) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let mut sending = std::mem::take(&mut self.sending);
        let (bucket, path) = (self.bucket.clone(), self.path.clone());
        runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            sending.shutdown().await;
            if let Err(error) = bucket.abort_multipart(&path, &upload).await {
                tracing::warn!(%error, "cannot abort an upload to the bucket, a sweep will");
            }
        });
    }
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: error.into() }
}
