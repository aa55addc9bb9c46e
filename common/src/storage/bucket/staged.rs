//! Staged files in a bucket: the parts of one multipart upload, and after the last whole part a tail
//! object `uploads/{task}/{number of the writer}-{number of the tail}`.
//!
//! # Invariants
//! - A tail is deleted only when a state without it has been stored.
//! - A writer that takes over uses other numbers of parts and names of tails than the earlier one.
//!   Should that one still send a part, completing fails, because each part is named by its ETag.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, iter, once};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};

use super::Bucket;
use super::gathered::Gathered;
use super::multipart::{MOST_PARTS, PARTS_AT_ONCE, Part, PartUploads};
use crate::storage::key::STAGED;
use crate::storage::{ObjectKey, StagingWriter, StorageError};
use crate::task::TaskId;

const MIB: u64 = 1 << 20;
const LEAST_PART: u64 = 8 * MIB;
/// The size of a file if it is unknown.
const LARGEST_FILE: u64 = 32 << 30;
/// How many parts a file should have at most: their ETags are part of the state.
const PARTS: u64 = 2000;

/// How many numbers a writer that takes over leaves out: more than the earlier one sends at a time.
const GAP: u32 = 4 * PARTS_AT_ONCE as u32;

/// From how many numbers that of the last part is chosen.
const SPREAD: u32 = 1000;

/// What a caller stores about a staged file in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct StagedObject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<StagedParts>,
    /// The bytes after the last part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<Tail>,
    /// The tail that this state replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    obsolete: Option<String>,
}

/// The parts, all of the same size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StagedParts {
    id: String,
    part_size: u64,
    /// The number of the next part.
    next: u32,
    runs: Vec<Run>,
}

/// Parts with consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    first: u32,
    etags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tail {
    name: String,
    size: u64,
}

impl StagedObject {
    pub(in crate::storage) fn size(&self) -> u64 {
        let parts = self.upload.as_ref().map_or(0, StagedParts::size);
        parts.saturating_add(self.tail.as_ref().map_or(0, |tail| tail.size))
    }
}

impl StagedParts {
    fn new(id: &str, part_size: u64, next: u32, parts: &[Part]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut expected = 0;
        for Part { number, etag, .. } in parts {
            match runs.last_mut().filter(|_| *number == expected) {
                Some(run) => run.etags.push(etag.clone()),
                None => runs.push(Run { first: *number, etags: vec![etag.clone()] }),
            }
            expected = number.saturating_add(1);
        }
        Self { id: id.to_owned(), part_size, next, runs }
    }

    fn size(&self) -> u64 {
        let count: usize = self.runs.iter().map(|run| run.etags.len()).sum();
        self.part_size.saturating_mul(count as u64)
    }

    fn parts(&self) -> Vec<Part> {
        let of_run = |run: &Run| {
            let numbered = (run.first..).zip(run.etags.clone());
            numbered
                .map(|(number, etag)| Part { number, etag, size: self.part_size })
                .collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).collect()
    }
}

/// The size of the parts of a file of this length.
fn part_size(length: Option<u64>) -> u64 {
    let least = length.unwrap_or(LARGEST_FILE).div_ceil(PARTS);
    least.next_multiple_of(MIB).max(LEAST_PART)
}

/// Appends to a staged file.
#[derive(Debug)]
pub(in crate::storage) struct StagedUpload {
    bucket: Bucket,
    folder: Path,
    writer: u32,
    tails: u32,
    part_size: u64,
    parts: PartUploads,
    /// The bytes after the last part.
    gathered: Gathered,
    /// The state of the last checkpoint.
    state: StagedObject,
}

impl Bucket {
    pub(in crate::storage) async fn stage(
        &self,
        key: ObjectKey,
        mut state: StagedObject,
        writer: StagingWriter,
        length: Option<u64>,
    ) -> Result<StagedUpload, StorageError> {
        let folder = self.staging_folder(key);
        let mut parts = PartUploads::new(self.clone(), self.path(key), None);
        let mut size = part_size(length);
        if let Some(upload) = &state.upload {
            // The others may have no gaps, but refuse a replaced part too.
            let has_gap = writer.takes_over && self.client.s3.is_some();
            let next = upload.next.saturating_add(if has_gap { GAP } else { 0 });
            parts.resume(upload.id.clone(), upload.parts(), next);
            size = upload.part_size;
        }
        let mut gathered = Gathered::default();
        if let Some(tail) = &state.tail {
            for bytes in self.read_tail(key, tail).await? {
                gathered.push(bytes);
            }
        }
        // This state has been stored, so that the tail of the one before is not needed.
        if let Some(name) = state.obsolete.take() {
            self.delete_later(folder.clone().join(name.as_str()));
        }
        let bucket = self.clone();
        let writer = writer.number;
        Ok(StagedUpload {
            bucket,
            folder,
            writer,
            tails: 0,
            part_size: size,
            parts,
            gathered,
            state,
        })
    }

    fn staging_folder(&self, key: ObjectKey) -> Path {
        self.join(&Path::from_iter([STAGED, &key.task_id().to_string()]))
    }

    async fn read_tail(&self, key: ObjectKey, tail: &Tail) -> Result<PutPayload, StorageError> {
        let path = self.staging_folder(key).join(tail.name.as_str());
        let read = async { self.client.objects.get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) if bytes.len() as u64 == tail.size => Ok(bytes.into()),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Err(StorageError::Lost(key)),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object that nobody needs; if that fails, it is deleted with the staged file.
    fn delete_later(&self, path: Path) {
        let bucket = self.clone();
        tokio::spawn(async move {
            if let Err(error) = bucket.delete_path(&path).await {
                tracing::debug!(%error, "cannot delete an obsolete part of an upload");
            }
        });
    }

    /// Whether a file is complete with `size` bytes.
    pub(super) async fn is_complete(
        &self,
        key: ObjectKey,
        size: u64,
    ) -> Result<bool, StorageError> {
        match self.head(&self.path(key)).await? {
            Some(object) if object.size == size => Ok(true),
            Some(_) => Err(StorageError::AlreadyExists(key)),
            None => Ok(false),
        }
    }

    pub(in crate::storage) async fn complete(
        &self,
        key: ObjectKey,
        state: &StagedObject,
    ) -> Result<(), StorageError> {
        if !self.is_complete(key, state.size()).await?
            && let Err(error) = self.try_complete(key, state).await
            // A concurrent call may have completed it, or an earlier one of which the answer was
            // lost.
            && !self.is_complete(key, state.size()).await?
        {
            return Err(error);
        }
        // What is left is listed, and discarded later.
        if let Err(error) = self.discard_staged(key, None).await {
            tracing::debug!(%error, "cannot delete what is left of an upload");
        }
        Ok(())
    }

    async fn try_complete(&self, key: ObjectKey, state: &StagedObject) -> Result<(), StorageError> {
        let path = self.path(key);
        let tail = match &state.tail {
            Some(tail) => Some(self.read_tail(key, tail).await?),
            None => None,
        };
        let Some(upload) = &state.upload else {
            return Ok(self.put(&path, tail.unwrap_or_default(), None).await?);
        };
        let mut parts = upload.parts();
        let completed = async {
            if let Some(tail) = tail {
                let number = self.number_of_last(upload.next);
                parts.push(self.put_part(&path, &upload.id, number, tail).await?);
            }
            self.complete_multipart(&path, &upload.id, &parts, false).await
        };
        completed.await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => StorageError::Lost(key),
            error => error.into(),
        })
    }

    /// A number for the last part. Concurrent calls choose different ones, so that none replaces the
    /// part of another while that one completes the upload.
    fn number_of_last(&self, next: u32) -> u32 {
        let last = match self.client.s3 {
            Some(_) => next.saturating_add(SPREAD).min(MOST_PARTS),
            // The others may have no gaps.
            None => next,
        };
        rand::random_range(next.min(last)..=last)
    }

    pub(in crate::storage) async fn discard_staged(
        &self,
        key: ObjectKey,
        state: Option<&StagedObject>,
    ) -> Result<(), StorageError> {
        let path = self.path(key);
        if let Some(upload) = state.and_then(|state| state.upload.as_ref()) {
            self.abort_multipart(&path, &upload.id).await?;
        }
        self.abort_uploads(&path).await?;
        let tails = self.client.objects.list(Some(&self.staging_folder(key)));
        let tails: Vec<_> = tails.map_ok(|object| object.location).try_collect().await?;
        for tail in tails {
            self.delete_path(&tail).await?;
        }
        Ok(())
    }

    /// The staged files with tails of which the last was written more than `age` ago.
    pub(in crate::storage) fn list_staged(
        &self,
        age: Duration,
    ) -> BoxStream<'static, Result<ObjectKey, StorageError>> {
        let bucket = self.clone();
        let found = async move {
            let folder = bucket.join(&Path::from(STAGED));
            let mut tails = bucket.client.objects.list(Some(&folder));
            let mut latest: BTreeMap<TaskId, SystemTime> = BTreeMap::new();
            while let Some(tail) = tails.try_next().await? {
                let task_id = tail
                    .location
                    .prefix_match(&folder)
                    .and_then(|mut parts| parts.next()?.as_ref().parse::<TaskId>().ok());
                let Some(task_id) = task_id else { continue };
                let written = SystemTime::from(tail.last_modified);
                let time = latest.entry(task_id).or_insert(written);
                *time = written.max(*time);
            }
            let now = SystemTime::now();
            latest.retain(|_, time| now.duration_since(*time).unwrap_or_default() >= age);
            let keys = latest.into_keys().map(ObjectKey::Input).map(Ok);
            Ok::<_, StorageError>(iter(keys.collect::<Vec<_>>()))
        };
        once(found).try_flatten().boxed()
    }
}

impl StagedUpload {
    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.send_parts().await?;
        // Nothing is awaited from here, so that a cancelled call has not taken the bytes.
        self.gathered.push(bytes);
        Ok(())
    }

    async fn send_parts(&mut self) -> Result<(), StorageError> {
        while self.gathered.size() >= self.part_size {
            self.parts.send(&mut self.gathered, self.part_size).await?;
        }
        Ok(())
    }

    pub(in crate::storage) async fn checkpoint(&mut self) -> Result<StagedObject, StorageError> {
        self.send_parts().await?;
        self.parts.finish().await?;
        let upload = self.parts.upload().map(|id| {
            StagedParts::new(id, self.part_size, self.parts.next_number(), self.parts.sent())
        });
        let size = upload.as_ref().map_or(0, StagedParts::size) + self.gathered.size();
        if size == self.state.size() {
            return Ok(self.state.clone());
        }
        let tail = match self.gathered.size() {
            0 => None,
            size => {
                self.tails += 1;
                let name = format!("{}-{}", self.writer, self.tails);
                let path = self.folder.clone().join(name.as_str());
                self.bucket.put(&path, self.gathered.payload(), None).await?;
                Some(Tail { name, size })
            }
        };
        // The caller has stored the state of the checkpoint before, which replaced another.
        if let Some(name) = self.state.obsolete.take() {
            self.bucket.delete_later(self.folder.clone().join(name.as_str()));
        }
        let obsolete = self.state.tail.take().map(|tail| tail.name);
        self.state = StagedObject { upload, tail, obsolete };
        self.parts.hand_over();
        Ok(self.state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_large_enough_for_any_file() {
        assert_eq!(part_size(Some(0)), 8 * MIB);
        assert_eq!(part_size(Some(1 << 30)), 8 * MIB);
        assert_eq!(part_size(None), 17 * MIB);
        assert!(part_size(Some(5 << 40)) * PARTS >= 5 << 40);
    }

    #[test]
    fn a_state_is_small_and_has_all_parts() {
        let part = |number| Part { number, etag: format!("\"{number:032x}\""), size: 8 * MIB };
        let numbers = (1..1000).chain(1009..2000);
        let parts: Vec<_> = numbers.map(part).collect();
        let upload = StagedParts::new("id", 8 * MIB, 2000, &parts);
        assert_eq!(upload.runs.len(), 2);
        assert_eq!(upload.parts(), parts);
        let tail = Some(Tail { name: "7-1".to_owned(), size: 5 });
        let state = StagedObject { upload: Some(upload), tail, obsolete: None };
        assert_eq!(state.size(), 1990 * 8 * MIB + 5);
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.len() < 80_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<StagedObject>(&text).unwrap(), state);
    }
}
