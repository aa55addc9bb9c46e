//! Receiving a file: it streams into the storage while it is hashed, and becomes a task with its
//! last byte.
//!
//! # Invariants
//! - The answer is given after the commit of task and outbox row and the fsync of the file.
//! - The first byte inserts the task under a lease that the request renews; a cut connection, an
//!   error or an expired lease leaves neither task nor object.
//! - The file is never whole in memory.

pub mod body;
pub mod file_name;
pub mod routes;

use std::time::Duration;

use bytes::Bytes;
use common::csv_input;
use common::queue::Message;
use common::report::InputFile;
use common::storage::{ObjectKey, ObjectWriter, Storage};
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskId, TaskKind, TaskState, UserId};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::background::Background;
use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::ApiError;
use crate::idempotency::{self, Begun, Key, Keys, Lock};
use crate::leases::UPLOAD_LEASE;
use crate::outbox::{self, Dispatch};
use crate::tasks::store::Enqueue;
use crate::tasks::{Task, interrupts, store, view};
use body::FileBody;

/// How often it is seen that the task was stopped.
const CHECK: Duration = Duration::from_millis(500);
/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(10);

/// Receives files. Clones share everything.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub db: Database,
    pub storage: Storage,
    pub background: Background,
    pub keys: Keys,
    /// The largest file that is taken, in bytes.
    pub limit: u64,
}

/// What a file is uploaded for.
#[derive(Debug, Clone)]
pub struct Request {
    pub owner: UserId,
    pub spec: TaskSpec,
    pub file_name: String,
    /// What makes this request the same as an earlier one.
    pub key: Option<Key>,
}

impl Uploads {
    /// Receives the file of `body` and makes it a task; a request that was answered before gets
    /// its answer again, when the same file has arrived once more.
    pub async fn receive(
        &self,
        request: Request,
        body: &mut FileBody,
    ) -> Result<AcceptedTask, ApiError> {
        let Some(key) = &request.key else { return self.take(&request, body, None).await };
        match self.keys.begin(key).await? {
            Begun::Fresh(lock) => lock.hold(self.take(&request, body, Some(lock.clone()))).await,
            Begun::Answered(stored) => {
                let sha256 = self.hash(body).await?;
                stored.replay(&fingerprint(&request, &identity(&request.spec, &sha256)?))
            }
        }
    }

    async fn hash(&self, body: &mut FileBody) -> Result<String, ApiError> {
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(bytes) = body.next().await? {
            size += bytes.len() as u64;
            if size > self.limit {
                return Err(ApiError::TooLarge { limit: self.limit });
            }
            hash.update(&bytes);
        }
        Ok(hex::encode(hash.finalize()))
    }

    async fn take(
        &self,
        request: &Request,
        body: &mut FileBody,
        lock: Option<Lock>,
    ) -> Result<AcceptedTask, ApiError> {
        let first = body.next().await?;
        if first.is_none() && request.spec.kind().reads_csv() {
            return Err(ApiError::EmptyFile);
        }
        let id = TaskId::new();
        crate::http::middleware::log_task(id);
        self.insert(id, request).await?;
        let mut reception =
            Reception::new(id, request.spec.kind(), self.storage.create(ObjectKey::Input(id)));
        let received = match self.fill(&mut reception, first, body).await {
            Ok(()) => self.finish(reception, request, lock).await,
            Err(error) => {
                reception.abort().await;
                Err(error)
            }
        };
        if received.is_err() {
            self.forget(id).await;
        }
        received
    }

    async fn insert(&self, id: TaskId, request: &Request) -> Result<(), ApiError> {
        let Request { owner, spec, file_name, .. } = request.clone();
        let insert = self.db.write(move |conn| {
            let now = db::now(conn)?;
            store::insert_initializing(conn, id, owner, &spec, &file_name, now, now + UPLOAD_LEASE)
        });
        Ok(insert.await?)
    }

    async fn fill(
        &self,
        reception: &mut Reception,
        first: Option<Bytes>,
        body: &mut FileBody,
    ) -> Result<(), ApiError> {
        let Some(first) = first else { return Ok(()) };
        reception.add(first, self.limit).await?;
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                bytes = body.next() => match bytes? {
                    Some(bytes) => reception.add(bytes, self.limit).await?,
                    None => return reception.check_start(),
                },
                _ = checks.tick() => {
                    let renew = renewed.elapsed() >= RENEW;
                    if renew {
                        renewed = Instant::now();
                    }
                    if !self.is_wanted(reception.id, renew).await? {
                        return Err(ApiError::UploadStopped(reception.id));
                    }
                }
            }
        }
    }

    /// Whether the task still waits for its file; renews its lease where it is time to.
    async fn is_wanted(&self, id: TaskId, renew: bool) -> Result<bool, ApiError> {
        if renew {
            let renewed = self.db.write(move |conn| {
                let now = db::now(conn)?;
                store::renew_upload(conn, id, now + UPLOAD_LEASE)
            });
            return Ok(renewed.await?);
        }
        let task = self.db.read(move |conn| store::find(conn, id)).await?;
        Ok(task.is_some_and(|task| task.state == TaskState::Initializing))
    }

    async fn finish(
        &self,
        reception: Reception,
        request: &Request,
        lock: Option<Lock>,
    ) -> Result<AcceptedTask, ApiError> {
        let id = reception.id;
        let sha256 = hex::encode(reception.hash.finalize());
        let size = reception.writer.finish().await?;
        let input = InputFile { file_name: request.file_name.clone(), size, sha256 };
        let owner = request.owner;
        let identity = identity(&request.spec, &input.sha256)?;
        let fingerprint = fingerprint(request, &identity);
        let accepted = self
            .db
            .write(move |conn| {
                let accepted = accept(conn, owner, id, &input, &identity)?;
                if let (Some(lock), Some(accepted)) = (&lock, &accepted) {
                    lock.complete(conn, &fingerprint, accepted)?;
                }
                Ok(accepted)
            })
            .await?
            .ok_or(ApiError::UploadStopped(id))?;
        if accepted.resumed {
            self.delete_object(id).await;
        }
        self.background.changed(&self.db, (owner, accepted.task.task_id)).await;
        info!(size, resumed = accepted.resumed, "accepted as {}", accepted.task.task_id);
        Ok(accepted)
    }

    /// Removes what a failed upload left: the task, unless somebody stopped it, and the object.
    /// A commit in doubt may have made it a task after all; then it keeps its file.
    async fn forget(&self, id: TaskId) {
        let is_gone = self.db.write(move |conn| {
            let is_removed = store::remove_initializing(conn, id)?;
            let left = store::find(conn, id)?;
            let is_stopped =
                |task: Task| matches!(task.state, TaskState::Stopping | TaskState::Stopped);
            Ok(is_removed || left.is_none_or(is_stopped))
        });
        match is_gone.await {
            Ok(true) => self.delete_object(id).await,
            Ok(false) => warn!("a failed upload was accepted all the same"),
            Err(error) => warn!(%error, "a failed upload is left to its lease and the sweep"),
        }
    }

    async fn delete_object(&self, id: TaskId) {
        if let Err(error) = self.storage.delete(ObjectKey::Input(id)).await {
            warn!(%error, "the file of a failed upload is left to the sweep");
        }
    }
}

struct Reception {
    id: TaskId,
    writer: ObjectWriter,
    hash: Sha256,
    size: u64,
    /// The first bytes, until there are enough to tell CSV text from other files.
    start: Vec<u8>,
    is_checked: bool,
    kind: TaskKind,
}

impl Reception {
    fn new(id: TaskId, kind: TaskKind, writer: ObjectWriter) -> Self {
        let is_checked = !kind.reads_csv();
        Self { id, writer, hash: Sha256::new(), size: 0, start: Vec::new(), is_checked, kind }
    }

    async fn add(&mut self, bytes: Bytes, limit: u64) -> Result<(), ApiError> {
        self.size += bytes.len() as u64;
        if self.size > limit {
            return Err(ApiError::TooLarge { limit });
        }
        if !self.is_checked {
            let missing = csv_input::START_BYTES.saturating_sub(self.start.len());
            self.start.extend_from_slice(&bytes[..missing.min(bytes.len())]);
            if self.start.len() >= csv_input::START_BYTES {
                self.check_start()?;
            }
        }
        self.hash.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }

    fn check_start(&mut self) -> Result<(), ApiError> {
        if !self.is_checked {
            let unpacked_later = self.kind.unpacks() && csv_input::packing(&self.start).is_some();
            if !unpacked_later {
                csv_input::check_start(&self.start).map_err(ApiError::NotCsv)?;
            }
            self.is_checked = true;
            self.start = Vec::new();
        }
        Ok(())
    }

    async fn abort(self) {
        if let Err(error) = self.writer.abort().await {
            warn!(%error, "the file of a failed upload is left to the sweep");
        }
    }
}

/// What two uploads of the same file have in common: kind, parameters and content.
fn identity(spec: &TaskSpec, sha256: &str) -> Result<String, ApiError> {
    let spec = serde_json::to_string(spec).map_err(|_| ApiError::Internal)?;
    Ok(hex::encode(Sha256::digest(format!("{spec}\n{sha256}"))))
}

/// What an upload asks for: the same whatever the boundaries of its form are.
fn fingerprint(request: &Request, identity: &str) -> String {
    idempotency::fingerprint(&[&request.file_name, identity])
}

/// Makes the received file a task, or lets an earlier task with the same file go on; none where
/// the task was stopped meanwhile. In the caller's transaction.
fn accept(
    conn: &mut DbConnection,
    owner: UserId,
    id: TaskId,
    input: &InputFile,
    identity: &str,
) -> DbResult<Option<AcceptedTask>> {
    let Some((task, now)) = store::find_and_lock_one(conn, id)? else { return Ok(None) };
    if task.state != TaskState::Initializing {
        return Ok(None);
    }
    if let Some(earlier) = store::find_resumable(conn, owner, identity)?
        && interrupts::resume(conn, &earlier, now)?
    {
        store::remove_initializing(conn, id)?;
        let row = earlier.resumes_from_row();
        return answer(conn, earlier.id, true, row);
    }
    store::set_input(conn, id, input, identity)?;
    if !store::enqueue(conn, &task, &Enqueue::default(), now, now)? {
        return Ok(None);
    }
    let message = Message { task_id: id, dispatch: task.dispatch + 1 };
    outbox::append(conn, &[Dispatch { kind: task.kind(), message, due_at: now }])?;
    answer(conn, id, false, None)
}

fn answer(
    conn: &mut DbConnection,
    id: TaskId,
    resumed: bool,
    resumed_from_row: Option<u64>,
) -> DbResult<Option<AcceptedTask>> {
    let Some(task) = store::find(conn, id)? else { return Ok(None) };
    Ok(Some(AcceptedTask { task: view(conn, task)?, resumed, resumed_from_row }))
}
