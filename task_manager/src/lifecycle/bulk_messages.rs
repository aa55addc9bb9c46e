//! Bulk loads of messages: one request tracks many messages, without tasks.
//!
//! # Invariants
//! - A request of any size takes bounded memory: documents are stored while more arrive.
//! - All valid documents of a chunk are stored, or none.
//! - An invalid document affects no other, and is named by its position in the request.
//! - The answer to a request with a key is stored with its last chunk. A request that was
//!   interrupted before that runs again from the start, and its first chunks are stored twice.

pub mod document;
mod splitter;

use chrono::NaiveDateTime;
use common::task::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use self::splitter::{Found, Splitter};
use crate::db::{self, Database};
use crate::error::Error;
use crate::file_source::FileSource;
use crate::idempotency::{IdempotencyKeys, Key, Lock, Started};
use crate::kinds::message_validation::{NewMessage, store};

pub use self::splitter::Format;

/// The most documents, and the most bytes of them, that one transaction stores: it should take
/// about 50 ms.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;
/// How many invalid documents are named.
const MAX_NAMED: usize = 10_000;

/// The outcome of a bulk request.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct BulkResult {
    /// How many documents were stored.
    #[schema(example = 99998)]
    inserted: u64,
    /// The documents that were not stored, up to the first 10,000.
    errors: Vec<BulkError>,
    /// How many documents were not stored.
    #[schema(example = 2)]
    error_count: u64,
}

/// A document that was not stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkError {
    /// Its position in the request, from 0; blank lines do not count.
    #[schema(example = 17)]
    index: u64,
    /// Why it is invalid.
    #[schema(example = "message: is empty; send at least one character that is not blank")]
    reason: String,
}

impl BulkResult {
    fn name(&mut self, index: u64, reason: String) {
        self.error_count += 1;
        if self.errors.len() < MAX_NAMED {
            self.errors.push(BulkError { index, reason });
        }
    }
}

/// Stores the documents of `body` as messages of `user`, once for each `key`.
///
/// # Errors
/// Those of `load`, another request with the key is in progress, or the key was used for another
/// body.
pub async fn load_once(
    keys: &IdempotencyKeys,
    key: Option<Key>,
    user: UserId,
    format: Format,
    body: &mut impl FileSource,
) -> Result<BulkResult, Error> {
    let db = &keys.db;
    let Some(key) = key else { return load(db, user, format, body, None).await };
    match keys.begin(&key).await? {
        Started::Fresh(lock) => lock.hold(load(db, user, format, body, Some(lock.clone()))).await,
        Started::Completed(stored) => {
            let mut hash = Sha256::new();
            while let Some(bytes) = body.next().await? {
                hash.update(&bytes);
            }
            stored.replay(&hex::encode(hash.finalize()))
        }
    }
}

/// Stores the documents of `body` as messages of `user`, and the answer under `lock`.
///
/// A body that is interrupted before anything was stored is refused. After that, the result names
/// the position of the interruption, since the documents before it are stored.
///
/// # Errors
/// The body is malformed or was interrupted, or the database is not available.
async fn load(
    db: &Database,
    user: UserId,
    format: Format,
    body: &mut impl FileSource,
    lock: Option<Lock>,
) -> Result<BulkResult, Error> {
    let now = db.read(|conn| Ok(db::now(conn)?)).await?;
    let mut load = Load {
        db,
        user,
        now,
        index: 0,
        chunk: Vec::new(),
        bytes: 0,
        result: BulkResult::default(),
        hash: Sha256::new(),
        lock,
    };
    let mut splitter = Splitter::new(format);
    let mut found = Vec::new();
    loop {
        let bytes = match body.next().await {
            Ok(bytes) => bytes,
            Err(_) if load.result.inserted > 0 => {
                return Err(Error::PartlyStored { inserted: load.result.inserted, in_doubt: 0 });
            }
            Err(error) => return Err(error),
        };
        let is_last = bytes.is_none();
        let split = match &bytes {
            Some(bytes) => {
                load.hash.update(bytes);
                splitter.push(bytes, &mut found)
            }
            None => splitter.finish(&mut found),
        };
        load.add(&mut found).await?;
        if let Err(broken) = split {
            if load.result.inserted == 0 {
                return Err(Error::BadRequest(format!("{broken} Nothing was stored.")));
            }
            load.result.name(load.index, broken);
            // The rest is not parsed any more, but is part of the request's fingerprint.
            while let Ok(Some(bytes)) = body.next().await {
                load.hash.update(&bytes);
            }
            return load.finish().await;
        }
        if is_last {
            return load.finish().await;
        }
    }
}

struct Load<'a> {
    db: &'a Database,
    user: UserId,
    /// The time of documents without one.
    now: NaiveDateTime,
    /// The position of the next document.
    index: u64,
    chunk: Vec<NewMessage>,
    /// The size of the messages of the chunk.
    bytes: usize,
    result: BulkResult,
    /// The hash of the body so far.
    hash: Sha256,
    /// The lock of the request's key, if it has one.
    lock: Option<Lock>,
}

impl Load<'_> {
    async fn add(&mut self, found: &mut Vec<Found>) -> Result<(), Error> {
        for found in found.drain(..) {
            let read = match found {
                Found::Document(json) => document::read(&json, self.user, self.now),
                Found::TooLong => {
                    Err(format!("is longer than {} bytes of JSON", splitter::LONGEST_DOCUMENT))
                }
            };
            match read {
                Ok(message) => {
                    self.bytes += message.message.len();
                    self.chunk.push(message);
                }
                Err(reason) => self.result.name(self.index, reason),
            }
            self.index += 1;
            if self.chunk.len() >= CHUNK || self.bytes >= CHUNK_BYTES {
                self.store().await?;
            }
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), Error> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.commit(None).await
    }

    /// Stores the last chunk, and the answer with it.
    async fn finish(mut self) -> Result<BulkResult, Error> {
        let answered =
            self.lock.take().map(|lock| (lock, hex::encode(self.hash.clone().finalize())));
        if answered.is_some() || !self.chunk.is_empty() {
            self.commit(answered).await?;
        }
        Ok(self.result)
    }

    async fn commit(&mut self, answered: Option<(Lock, String)>) -> Result<(), Error> {
        let chunk = std::mem::take(&mut self.chunk);
        self.bytes = 0;
        let length = chunk.len() as u64;
        let inserted = self.result.inserted + length;
        let answer = BulkResult { inserted, ..self.result.clone() };
        let stored = self.db.write(move |conn| {
            if !chunk.is_empty() {
                store::insert(conn, &chunk)?;
            }
            match &answered {
                Some((lock, fingerprint)) => lock.complete(conn, fingerprint, &answer),
                None => Ok(()),
            }
        });
        match stored.await {
            Ok(()) => {
                self.result.inserted = inserted;
                Ok(())
            }
            Err(error) if self.result.inserted > 0 => {
                tracing::error!(%error, "a bulk request was stored only in part");
                let in_doubt = if error.is_in_doubt() { length } else { 0 };
                Err(Error::PartlyStored { inserted: self.result.inserted, in_doubt })
            }
            Err(error) => Err(error.into()),
        }
    }
}
