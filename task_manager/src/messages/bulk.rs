//! Loading many messages with one request: they are tracked as they come, without a task.
//!
//! # Invariants
//! - A request of any size takes a bounded piece of memory: documents are stored while others
//!   arrive.
//! - Of a chunk of documents either all that hold are stored, or none.
//! - A document that does not hold spoils no other, and is named by its place in the request.

mod document;
pub mod routes;
mod splitter;

use chrono::NaiveDateTime;
use common::task::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use self::splitter::{Found, Splitter};
use super::{NewMessage, store};
use crate::db::{self, Database};
use crate::error::ApiError;
use crate::uploads::body::FileBody;

pub use self::splitter::Format;

/// How many documents are stored in one transaction, and how many bytes of them at the most: it
/// is to last about 50 ms.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;
/// How many documents that do not hold are named.
const MAX_NAMED: usize = 10_000;

/// What became of the documents.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct BulkResult {
    /// How many documents were stored.
    #[schema(example = 99998)]
    inserted: u64,
    /// The documents that were not, the first 10,000 of them.
    errors: Vec<BulkError>,
    /// How many were not stored.
    #[schema(example = 2)]
    error_count: u64,
}

/// A document that was not stored.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BulkError {
    /// Its place in the request, from 0; blank lines do not count.
    #[schema(example = 17)]
    index: u64,
    /// What is wrong with it.
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

/// Stores the documents of `body` as messages of `user`.
///
/// A body that breaks off before anything of it was stored is refused; after that the place is
/// named where it broke off, since what came before it is there.
///
/// # Errors
/// The body is not of the format, it broke off, or the database is not available.
pub async fn load(
    db: &Database,
    user: UserId,
    format: Format,
    body: &mut FileBody,
) -> Result<BulkResult, ApiError> {
    let now = db.read(|conn| Ok(db::now(conn)?)).await?;
    let mut load = Load {
        db,
        user,
        now,
        index: 0,
        chunk: Vec::new(),
        bytes: 0,
        result: BulkResult::default(),
    };
    let mut splitter = Splitter::new(format);
    let mut found = Vec::new();
    loop {
        let bytes = match body.next().await {
            Ok(bytes) => bytes,
            Err(_) if load.result.inserted > 0 => {
                return Err(ApiError::PartlyStored { inserted: load.result.inserted });
            }
            Err(error) => return Err(error),
        };
        let is_last = bytes.is_none();
        let split = match &bytes {
            Some(bytes) => splitter.push(bytes, &mut found),
            None => splitter.finish(&mut found),
        };
        load.add(&mut found).await?;
        if let Err(broken) = split {
            if load.result.inserted == 0 {
                return Err(ApiError::BadRequest(format!("{broken} Nothing was stored.")));
            }
            load.store().await?;
            load.result.name(load.index, broken);
            return Ok(load.result);
        }
        if is_last {
            load.store().await?;
            return Ok(load.result);
        }
    }
}

struct Load<'a> {
    db: &'a Database,
    user: UserId,
    /// What is stored without a time of its own has this one.
    now: NaiveDateTime,
    /// The place of the next document.
    index: u64,
    chunk: Vec<NewMessage>,
    /// The size of the messages of the chunk.
    bytes: usize,
    result: BulkResult,
}

impl Load<'_> {
    async fn add(&mut self, found: &mut Vec<Found>) -> Result<(), ApiError> {
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

    async fn store(&mut self) -> Result<(), ApiError> {
        let chunk = std::mem::take(&mut self.chunk);
        self.bytes = 0;
        if chunk.is_empty() {
            return Ok(());
        }
        let count = chunk.len() as u64;
        match self.db.write(move |conn| store::insert(conn, &chunk)).await {
            Ok(()) => {
                self.result.inserted += count;
                Ok(())
            }
            Err(error) if self.result.inserted > 0 => {
                tracing::error!(%error, "a bulk request was stored in part");
                Err(ApiError::PartlyStored { inserted: self.result.inserted })
            }
            Err(error) => Err(error.into()),
        }
    }
}
