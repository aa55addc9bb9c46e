//! Receives a file: it is streamed into the storage and hashed, and becomes a task with its last
//! byte.
//!
//! # Invariants
//! - The answer is sent after the commit of task and outbox row and the fsync of the file.
//! - The first byte inserts the task under a lease that is renewed until the commit. A broken
//!   connection, an error or an expired lease leaves neither task nor object.
//! - The file is never completely in memory.

pub mod commit;
pub mod draft;
pub mod file_name;
pub mod file_start;

use std::pin::pin;

use bytes::Bytes;
use common::task::{AcceptedTask, TaskId};
use sha2::{Digest, Sha256};

use self::draft::{Draft, Drafts, Purpose};
use crate::error::Error;
use crate::file_source::FileSource;
use crate::idempotency::{IdempotencyKeys, Key, Lock, Started};
use crate::lifecycle::wakeups::Wakeups;
use crate::log_fields::log_task;

/// Receives files. Clones share everything.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub drafts: Drafts,
    pub wakeups: Wakeups,
    pub keys: IdempotencyKeys,
}

impl Uploads {
    /// Receives the file of `body` and creates its task. A repeated request, recognized by `key`,
    /// gets its stored answer after the same file has been received again.
    pub async fn receive(
        &self,
        purpose: Purpose,
        key: Option<Key>,
        body: &mut impl FileSource,
    ) -> Result<AcceptedTask, Error> {
        let Some(key) = key else { return self.take(purpose, body, None).await };
        match self.keys.begin(&key).await? {
            Started::Fresh(lock) => lock.hold(self.take(purpose, body, Some(lock.clone()))).await,
            Started::Completed(stored) => {
                let sha256 = self.hash(body).await?;
                let dedup_key = commit::dedup_key(&purpose.spec, &sha256)?;
                stored.replay(&commit::fingerprint(&purpose.file_name, &dedup_key))
            }
        }
    }

    async fn hash(&self, body: &mut impl FileSource) -> Result<String, Error> {
        let limit = self.drafts.limit;
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(bytes) = body.next().await? {
            size += bytes.len() as u64;
            if size > limit {
                return Err(Error::TooLarge { limit });
            }
            hash.update(&bytes);
        }
        Ok(hex::encode(hash.finalize()))
    }

    async fn take(
        &self,
        purpose: Purpose,
        body: &mut impl FileSource,
        lock: Option<Lock>,
    ) -> Result<AcceptedTask, Error> {
        let first = body.next().await?;
        if first.is_none() && purpose.spec.kind().reads_csv() {
            return Err(Error::EmptyFile);
        }
        let id = TaskId::new();
        log_task(id);
        let mut draft = Draft::begin(&self.drafts, id, purpose).await?;
        if let Err(error) = fill(&mut draft, first, body).await {
            draft.abort().await;
            return Err(error);
        }
        let draft = draft.seal().await?;
        commit::commit(&self.drafts.db, &self.wakeups, draft, lock).await
    }
}

/// Appends the bytes to the draft, until the end of the body or until the draft has lost its task.
async fn fill(
    draft: &mut Draft,
    first: Option<Bytes>,
    body: &mut impl FileSource,
) -> Result<(), Error> {
    let mut lost = pin!(draft.lost());
    let mut next = first;
    while let Some(bytes) = next {
        draft.append(bytes).await?;
        next = tokio::select! {
            bytes = body.next() => bytes?,
            error = &mut lost => return Err(error),
        };
    }
    Ok(())
}
