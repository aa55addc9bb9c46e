//! Writes an object that appears when it is complete: a small one by a single request, a larger one
//! in parts.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutOptions, PutPayload};
use uuid::Uuid;

use super::Bucket;
use super::gathered::Gathered;
use super::multipart::{PartUploads, are_of, attributes};
use crate::storage::{ObjectKey, StorageError};

const MIB: u64 = 1 << 20;

/// The size of the part with this number. They grow only after 31 GiB, because some services want
/// parts of equal sizes; 10,000 of them are 500 GiB.
fn part_size(number: u32) -> u64 {
    match number {
        0..4000 => 8 * MIB,
        4000..7000 => 32 * MIB,
        _ => 128 * MIB,
    }
}

/// An object being written.
#[derive(Debug)]
pub(in crate::storage) struct ObjectUpload {
    bucket: Bucket,
    key: ObjectKey,
    /// Set for an object that is created and never replaced.
    writer: Option<Uuid>,
    gathered: Gathered,
    parts: PartUploads,
}

impl Bucket {
    pub(in crate::storage) fn write(&self, key: ObjectKey) -> ObjectUpload {
        let writer = matches!(key, ObjectKey::Output { .. }).then(Uuid::new_v4);
        ObjectUpload {
            bucket: self.clone(),
            key,
            writer,
            gathered: Gathered::default(),
            parts: PartUploads::new(self.clone(), self.path(key), writer),
        }
    }

    /// Writes an object by a single request.
    pub(super) async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        writer: Option<Uuid>,
    ) -> object_store::Result<()> {
        let mode = if writer.is_some() { PutMode::Create } else { PutMode::Overwrite };
        let attributes = attributes(writer);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        self.client.objects.put_opts(path, payload, options).await.map(drop)
    }

    /// Whether `writer` wrote the object: the answer to an earlier attempt may have been lost.
    async fn is_written_by(&self, path: &Path, writer: Uuid) -> object_store::Result<bool> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.client.objects.get_opts(path, options).await {
            Ok(object) => Ok(are_of(&object.attributes, writer)),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl ObjectUpload {
    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.send_parts().await?;
        // Nothing is awaited from here, so that a cancelled call has not taken the bytes.
        self.gathered.push(bytes);
        Ok(())
    }

    /// Sends what suffices for whole parts.
    async fn send_parts(&mut self) -> object_store::Result<()> {
        loop {
            let size = part_size(self.parts.next_number());
            if self.gathered.size() < size {
                return Ok(());
            }
            self.parts.send(&mut self.gathered, size).await?;
        }
    }

    pub(in crate::storage) async fn finish(mut self) -> Result<(), StorageError> {
        match self.try_finish().await {
            Ok(()) => {}
            Err(error) => {
                let path = self.parts.path();
                let is_done = match self.writer {
                    Some(writer) => self.bucket.is_written_by(path, writer).await?,
                    None => false,
                };
                let key = self.key;
                match error {
                    _ if is_done => {}
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. } => {
                        return Err(StorageError::AlreadyExists(key));
                    }
                    error => return Err(error.into()),
                }
            }
        }
        self.parts.forget();
        Ok(())
    }

    async fn try_finish(&mut self) -> object_store::Result<()> {
        self.send_parts().await?;
        if self.parts.upload().is_none() {
            let payload = self.gathered.take(u64::MAX);
            return self.bucket.put(self.parts.path(), payload, self.writer).await;
        }
        if self.gathered.size() > 0 {
            self.parts.send(&mut self.gathered, u64::MAX).await?;
        }
        self.parts.finish().await?;
        let Some(upload) = self.parts.upload() else { return Ok(()) };
        let create_only = self.writer.is_some();
        let (path, sent) = (self.parts.path(), self.parts.sent());
        self.bucket.complete_multipart(path, upload, sent, create_only).await
    }

    pub(in crate::storage) async fn abort(self) -> Result<(), StorageError> {
        Ok(self.parts.abort().await?)
    }
}
