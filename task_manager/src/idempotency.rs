//! `Idempotency-Key`: a repeated request gets the response of the first one, and has no further
//! effect.
//!
//! # Invariants
//! - The answer is stored in the transaction that it describes.
//! - While a request is in progress it holds a lock, renews it, and cannot commit without it. The
//!   lock of a request whose process died expires.
//! - An error stores nothing: the key is free again.
//! - A key with other content is refused.

mod store;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;
use uuid::Uuid;

use crate::db::{self, Database, DbConnection, DbError, DbResult};
use crate::error::Error;

/// How long a lock lasts without being renewed.
const LOCK: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Identifies repeats of a request, by its sender, its method, its path and the given key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key that `scope` (a user, or a stand-in for one) gave to a request.
    pub fn new(scope: &str, method: &str, path: &str, given: &str) -> Self {
        Self(fingerprint(&[scope, method, path, given]))
    }
}

/// A request that may be repeated: its key, and the hash of its content. None if it has no key.
pub type IdempotentRequest = Option<(Key, String)>;

/// A hash of `parts`, each with its length, so that different lists never have the same input.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// The keys in the database. Clones share it.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    pub db: Database,
}

/// How a request with a key starts.
#[derive(Debug)]
pub enum Started {
    /// It is the first one, and runs under the lock.
    Fresh(Lock),
    /// It was completed before.
    Completed(StoredAnswer),
}

impl IdempotencyKeys {
    /// Takes the key's lock, or finds the answer.
    ///
    /// # Errors
    /// Another request with the key is in progress.
    pub async fn begin(&self, key: &Key) -> Result<Started, Error> {
        let (id, holder) = (key.0.clone(), Uuid::new_v4());
        let found = self.db.write(move |conn| {
            let now = db::now(conn)?;
            store::begin(conn, &id, holder, now, now + LOCK, now - KEPT)
        });
        match found.await? {
            store::Found::Locked => {
                Ok(Started::Fresh(Lock { db: self.db.clone(), key: key.0.clone(), holder }))
            }
            store::Found::Completed(stored) => Ok(Started::Completed(stored)),
            store::Found::InProgress => Err(Error::RequestInProgress),
        }
    }

    /// Runs a request once: `work` must store its answer through its argument. For a completed
    /// request, returns the stored answer.
    ///
    /// # Errors
    /// Those of `work`, another request with the key is in progress, or the key was used for other
    /// content.
    pub async fn once<T: DeserializeOwned, F: Future<Output = Result<T, Error>>>(
        &self,
        request_key: IdempotentRequest,
        work: impl FnOnce(Answering) -> F,
    ) -> Result<T, Error> {
        let Some((key, fingerprint)) = request_key else { return work(Answering(None)).await };
        match self.begin(&key).await? {
            Started::Completed(stored) => stored.replay(&fingerprint),
            Started::Fresh(lock) => {
                lock.hold(work(Answering(Some((lock.clone(), fingerprint))))).await
            }
        }
    }

    /// Releases all locks: at the start of the only process, none is in use.
    pub async fn free_all(&self) -> DbResult<()> {
        self.db.write(store::delete_unanswered).await
    }

    /// Deletes expired answers, and locks whose requests ended long ago.
    pub async fn sweep(&self) -> DbResult<()> {
        self.db
            .write(|conn| {
                let now = db::now(conn)?;
                store::delete_old(conn, now, now - KEPT)
            })
            .await
    }
}

/// The answer to a request, and the hash of the request.
#[derive(Debug)]
pub struct StoredAnswer {
    fingerprint: String,
    answer: String,
}

impl StoredAnswer {
    /// Replays the answer.
    ///
    /// # Errors
    /// The request has other content than the first one with its key, or this version cannot read
    /// the answer of another version.
    pub fn replay<T: DeserializeOwned>(&self, fingerprint: &str) -> Result<T, Error> {
        if self.fingerprint != fingerprint {
            return Err(Error::KeyReused);
        }
        serde_json::from_str(&self.answer).map_err(|error| {
            warn!(%error, "the stored answer of a request cannot be read");
            Error::UnreadableAnswer
        })
    }
}

/// Stores the answer of a request if it has a key.
#[derive(Debug, Clone, Default)]
pub struct Answering(Option<(Lock, String)>);

impl Answering {
    /// Stores it, in the transaction that it describes.
    ///
    /// # Errors
    /// The lock was lost: the transaction must not be committed.
    pub fn store(&self, conn: &mut DbConnection, answer: &impl Serialize) -> DbResult<()> {
        match &self.0 {
            Some((lock, fingerprint)) => lock.complete(conn, fingerprint, answer),
            None => Ok(()),
        }
    }
}

/// The lock of a request in progress. Clones are the same lock.
#[derive(Debug, Clone)]
pub struct Lock {
    db: Database,
    key: String,
    holder: Uuid,
}

impl Lock {
    /// Runs `work` while the lock is renewed; if it fails, frees the key.
    pub async fn hold<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let worked = tokio::select! {
            worked = work => worked,
            never = self.renew() => match never {},
        };
        if worked.is_err() {
            let (key, holder) = (self.key.clone(), self.holder);
            let freed = self.db.write(move |conn| store::release(conn, &key, holder)).await;
            if let Err(error) = freed {
                warn!(%error, "cannot free an Idempotency-Key; its lock will expire");
            }
        }
        worked
    }

    async fn renew(&self) -> std::convert::Infallible {
        let mut ticks = interval_at(Instant::now() + RENEW, RENEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (key, holder) = (self.key.clone(), self.holder);
            let renewed = self.db.write(move |conn| {
                let until = db::now(conn)? + LOCK;
                store::renew(conn, &key, holder, until)
            });
            // `complete` detects a lost lock.
            if let Err(error) = renewed.await {
                warn!(%error, "the lock of an Idempotency-Key could not be renewed");
            }
        }
    }

    /// Stores the answer to the request with this fingerprint, in the transaction that it
    /// describes.
    ///
    /// # Errors
    /// The lock was lost: the transaction must not be committed.
    pub fn complete(
        &self,
        conn: &mut DbConnection,
        fingerprint: &str,
        answer: &impl Serialize,
    ) -> DbResult<()> {
        let answer = serde_json::to_string(answer).map_err(DbError::corrupt)?;
        if store::complete(conn, &self.key, self.holder, fingerprint, &answer)? {
            Ok(())
        } else {
            Err(DbError::LockLost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_parts_are_delimited() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_ne!(Key::new("u", "POST", "/a", "k"), Key::new("u", "POST", "/b", "k"));
    }
}
