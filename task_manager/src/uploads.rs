//! Receiving a file: it streams into the storage while it is hashed, and becomes a task with its
//! last byte.
//!
//! # Invariants
//! - The answer is given after the commit of task and outbox row and the fsync of the file.
//! - The first byte inserts the task under a lease that is renewed until the commit; a cut
//!   connection, an error or an expired lease leaves neither task nor object.
//! - The file is never whole in memory.

pub mod body;
mod commit;
mod disposition;
pub mod draft;
pub mod file_name;
mod form;
pub mod routes;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use common::task::{AcceptedTask, TaskId};
use sha2::{Digest, Sha256};

use self::body::FileBody;
use self::draft::{Draft, Drafts, Purpose};
use crate::background::Background;
use crate::error::ApiError;
use crate::idempotency::{Begun, Key, Keys, Lock};

/// Receives files. Clones share everything.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub drafts: Drafts,
    pub background: Background,
    pub keys: Keys,
    pub idle: IdleTimeout,
}

/// How long a body may give no byte.
#[derive(Debug, Clone, Copy)]
pub struct IdleTimeout(pub Duration);

impl Uploads {
    /// Receives the file of `body` and makes it a task; a request that was answered before gets
    /// its answer again, when the same file has arrived once more. `key` makes it the same request.
    pub async fn receive(
        &self,
        purpose: Purpose,
        key: Option<Key>,
        body: &mut FileBody,
    ) -> Result<AcceptedTask, ApiError> {
        let Some(key) = key else { return self.take(purpose, body, None).await };
        match self.keys.begin(&key).await? {
            Begun::Fresh(lock) => lock.hold(self.take(purpose, body, Some(lock.clone()))).await,
            Begun::Answered(stored) => {
                let sha256 = self.hash(body).await?;
                let identity = commit::identity(&purpose.spec, &sha256)?;
                stored.replay(&commit::fingerprint(&purpose.file_name, &identity))
            }
        }
    }

    async fn hash(&self, body: &mut FileBody) -> Result<String, ApiError> {
        let limit = self.drafts.limit;
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(bytes) = body.next().await? {
            size += bytes.len() as u64;
            if size > limit {
                return Err(ApiError::TooLarge { limit });
            }
            hash.update(&bytes);
        }
        Ok(hex::encode(hash.finalize()))
    }

    async fn take(
        &self,
        purpose: Purpose,
        body: &mut FileBody,
        lock: Option<Lock>,
    ) -> Result<AcceptedTask, ApiError> {
        let first = body.next().await?;
        if first.is_none() && purpose.spec.kind().reads_csv() {
            return Err(ApiError::EmptyFile);
        }
        let id = TaskId::new();
        crate::http::middleware::log_task(id);
        let mut draft = Draft::begin(&self.drafts, id, purpose).await?;
        if let Err(error) = fill(&mut draft, first, body).await {
            draft.abort().await;
            return Err(error);
        }
        let draft = draft.seal().await?;
        commit::commit(&self.drafts.db, &self.background, draft, lock).await
    }
}

/// Adds the bytes to the draft, until there are no more or it has lost its task.
async fn fill(
    draft: &mut Draft,
    first: Option<Bytes>,
    body: &mut FileBody,
) -> Result<(), ApiError> {
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
