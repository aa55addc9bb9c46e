//! Uploads that several requests continue, on any task manager, until the last byte makes the task.
//!
//! # Invariants
//! - Bytes are acknowledged exactly when the database has the offset behind them, together with the
//!   state of the hash and of the storage; they are durable before that.
//! - Two requests never write to the same object: see [`hold`].
//! - The last byte makes the task by the same commit as every other upload, exactly once. Whatever
//!   ends the process before that, [`finish::pass`] completes it.
//! - An upload and its task share an id and an end: when one is gone, the other follows.
//!
//! # Not here
//! The protocols (`api::routes::resumable_uploads`).

pub mod append;
pub mod concatenate;
pub mod discard;
pub mod finish;
pub mod hold;
mod intake;
pub mod store;

use std::str::FromStr;
use std::time::Duration;

use common::task::spec::TaskSpec;
use common::task::{TaskId, UnknownName, UserId, named};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::store::{NewRow, ResumableUpload};
use crate::db::{self, DbConnection, DbResult};
use crate::error::Error;
use crate::idempotency::{self, Answering, IdempotencyKeys, IdempotentRequest, Key};
use crate::lifecycle::upload::draft::{Drafts, Purpose};
use crate::lifecycle::wakeups::Wakeups;
use crate::tasks::store as tasks;

/// What an upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// For bytes.
    Receiving,
    /// It has all bytes, and waits to become a task.
    Received,
    /// For nothing.
    Done,
}

impl UploadState {
    const ALL: [Self; 3] = [Self::Receiving, Self::Received, Self::Done];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Received => "received",
            Self::Done => "done",
        }
    }
}

impl FromStr for UploadState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// What an upload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It becomes a task.
    Single,
    /// It becomes a part of another upload.
    Partial,
    /// It is made of parts, and becomes a task.
    Final,
}

impl Role {
    const ALL: [Self; 3] = [Self::Single, Self::Partial, Self::Final];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Partial => "partial",
            Self::Final => "final",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// Receives files by several requests. Clones share everything.
#[derive(Debug, Clone)]
pub struct ResumableUploads {
    pub drafts: Drafts,
    pub wakeups: Wakeups,
    pub keys: IdempotencyKeys,
    /// Ends the requests that hold uploads.
    pub shutdown: CancellationToken,
    /// How long an upload lives without a request, and its row after its end.
    pub lifetime: Duration,
}

/// A new upload.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub owner: UserId,
    /// What becomes of the file; none for a partial upload.
    pub purpose: Option<(TaskSpec, String)>,
    /// The size of the file in bytes, if known.
    pub size: Option<u64>,
    /// As the client gave it, to be returned to it.
    pub metadata: Option<String>,
}

/// The stored answer to a repeatable request that creates an upload.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Created {
    pub upload_id: TaskId,
    /// Whether an earlier request with the same key created it.
    #[serde(skip)]
    pub is_repeat: bool,
}

impl ResumableUploads {
    /// Creates an upload without bytes, and its task.
    ///
    /// # Errors
    /// It is too large, or an empty file cannot become a task of its kind.
    pub async fn create(&self, key: Option<Key>, new: NewUpload) -> Result<Created, Error> {
        let limit = self.drafts.limit;
        if new.size.is_some_and(|size| size > limit) {
            return Err(Error::TooLarge { limit });
        }
        let purpose = new.purpose.as_ref();
        if new.size == Some(0) && purpose.is_some_and(|(spec, _)| spec.kind().reads_csv()) {
            return Err(Error::EmptyFile);
        }
        let row = NewRow {
            id: TaskId::new(),
            owner: new.owner,
            state: UploadState::Receiving,
            role: if new.purpose.is_some() { Role::Single } else { Role::Partial },
            parts: Vec::new(),
            size: new.size,
            received: 0,
            metadata: new.metadata,
        };
        let request = repeatable(key, &row, new.purpose.as_ref())?;
        self.insert(request, row, new.purpose).await
    }

    async fn insert(
        &self,
        request: IdempotentRequest,
        row: NewRow,
        purpose: Option<(TaskSpec, String)>,
    ) -> Result<Created, Error> {
        let (id, lifetime) = (row.id, self.lifetime);
        let work = |answering: Answering| async move {
            let insert = self.drafts.db.write(move |conn| {
                insert(conn, &row, purpose.as_ref(), lifetime)?;
                let created = Created { upload_id: row.id, is_repeat: false };
                answering.store(conn, &created)?;
                Ok(created)
            });
            Ok(insert.await?)
        };
        let created: Created = self.keys.once(request, work).await?;
        Ok(Created { is_repeat: created.upload_id != id, ..created })
    }

    /// An upload of `owner`, as soon as no request writes to it.
    ///
    /// # Errors
    /// There is no such upload.
    pub async fn settled(&self, owner: UserId, id: TaskId) -> Result<ResumableUpload, Error> {
        let upload = self.find(owner, id).await?;
        match (upload.state, upload.held_until) {
            (UploadState::Receiving, Some(_)) => hold::settled(&self.drafts.db, owner, id).await,
            _ => Ok(upload),
        }
    }

    /// An upload of `owner` as it is now.
    ///
    /// # Errors
    /// There is no such upload.
    pub async fn find(&self, owner: UserId, id: TaskId) -> Result<ResumableUpload, Error> {
        let found = self.drafts.db.read(move |conn| store::find(conn, id)).await?;
        found.filter(|upload| upload.owner == owner).ok_or(Error::UploadNotFound)
    }

    /// The owner, the kind and the name of the file of an upload that becomes a task; none for a
    /// partial one.
    async fn purpose(&self, upload: &ResumableUpload) -> Result<Option<Purpose>, Error> {
        if upload.role == Role::Partial {
            return Ok(None);
        }
        let id = upload.id;
        let task = self.drafts.db.read(move |conn| tasks::find(conn, id)).await?;
        let task = task.ok_or(Error::UploadNotFound)?;
        let file_name = task.input.map(|input| input.file_name).unwrap_or_default();
        Ok(Some(Purpose { owner: upload.owner, spec: task.spec, file_name }))
    }
}

/// The key of a request that creates an upload, with the hash of what it asks for.
fn repeatable(
    key: Option<Key>,
    row: &NewRow,
    purpose: Option<&(TaskSpec, String)>,
) -> Result<IdempotentRequest, Error> {
    let Some(key) = key else { return Ok(None) };
    let spec = purpose.map(|(spec, _)| serde_json::to_string(spec)).transpose();
    let spec = spec.map_err(|_| Error::Internal)?.unwrap_or_default();
    let name = purpose.map(|(_, name)| name.as_str()).unwrap_or_default();
    let size = row.size.map(|size| size.to_string()).unwrap_or_default();
    let parts: Vec<String> = row.parts.iter().map(ToString::to_string).collect();
    let parts = parts.join(" ");
    let metadata = row.metadata.as_deref().unwrap_or_default();
    let fingerprint = idempotency::fingerprint(&[&spec, name, &size, &parts, metadata]);
    Ok(Some((key, fingerprint)))
}

/// Inserts the upload, and its task if it becomes one.
fn insert(
    conn: &mut DbConnection,
    row: &NewRow,
    purpose: Option<&(TaskSpec, String)>,
    lifetime: Duration,
) -> DbResult<()> {
    let now = db::now(conn)?;
    let expires_at = now + lifetime;
    if let Some((spec, name)) = purpose {
        tasks::insert_initializing(conn, row.id, row.owner, spec, name, now, expires_at)?;
        store::task_progress(conn, row.id, &hold::progress(0, row.size), now, lifetime)?;
    }
    store::insert(conn, row, now, expires_at)
}
