//! Uploads that are made of others, which arrived in parallel.
//!
//! # Invariants
//! - The parts belong to one final upload, and live until it has become a task.
//! - The file is hashed as a whole, so a final upload equals one that arrived at once.

use bytes::Bytes;
use common::storage::ObjectKey;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskId, UserId};
use futures_util::TryStreamExt;

use super::hold::Hold;
use super::intake::Intake;
use super::store::{self, NewRow, ResumableUpload};
use super::{Created, ResumableUploads, Role, UploadState, insert, repeatable};
use crate::db::{self, DbConnection, DbError, DbResult};
use crate::error::Error;
use crate::idempotency::{Answering, Key};
use crate::lifecycle::upload::file_start::FileStart;

/// A final upload to create.
#[derive(Debug)]
pub struct NewFinal {
    pub owner: UserId,
    /// The complete partial uploads, in the order of their bytes.
    pub parts: Vec<TaskId>,
    pub spec: TaskSpec,
    pub file_name: String,
    pub metadata: Option<String>,
}

impl ResumableUploads {
    /// Creates an upload of parts, and its task; [`finish_waiting`](Self::finish_waiting) completes
    /// it. The same list of parts gives the same upload again.
    ///
    /// # Errors
    /// A part is not usable, or the file is too large or of the wrong type.
    pub async fn concatenate(&self, key: Option<Key>, new: NewFinal) -> Result<Created, Error> {
        let NewFinal { owner, parts, spec, file_name, metadata } = new;
        let ids = parts.clone();
        let found = self.drafts.db.read(move |conn| find_parts(conn, &ids)).await?;
        if let Some(id) = existing(owner, &parts, &found)
            && let Some(repeated) = self.repeated(id, &parts).await
        {
            return Ok(repeated);
        }
        let mut row = NewRow {
            id: TaskId::new(),
            owner,
            state: UploadState::Received,
            role: Role::Final,
            parts,
            size: None,
            received: 0,
            metadata,
        };
        let purpose = (spec, file_name);
        // The size follows from the parts, which are gone when a request is repeated late.
        let request = repeatable(key, &row, Some(&purpose))?;
        let (id, lifetime) = (row.id, self.lifetime);
        let work = |answering: Answering| async move {
            let sizes = usable(owner, &row.parts, &found)?;
            let (size, limit) = (sizes.iter().sum(), self.drafts.limit);
            if size > limit {
                return Err(Error::TooLarge { limit });
            }
            self.check_start(&purpose.0, &row.parts, &sizes).await?;
            row.size = Some(size);
            let insert = self.drafts.db.write(move |conn| {
                let found = lock_parts(conn, &row.parts)?;
                if let Err(error) = usable(owner, &row.parts, &found) {
                    return Ok(Err(error));
                }
                insert(conn, &row, Some(&purpose), lifetime)?;
                let expires_at = db::now(conn)? + lifetime;
                store::take_parts(conn, &row.parts, row.id, expires_at)?;
                let created = Created { upload_id: row.id, is_repeat: false };
                answering.store(conn, &created)?;
                Ok(Ok(created))
            });
            insert.await?
        };
        let created: Created = self.keys.once(request, work).await?;
        Ok(Created { is_repeat: created.upload_id != id, ..created })
    }

    /// The final upload `id`, if it is made of just these parts.
    async fn repeated(&self, id: TaskId, parts: &[TaskId]) -> Option<Created> {
        let found = self.drafts.db.read(move |conn| store::find(conn, id)).await.ok()??;
        (found.parts == parts).then_some(Created { upload_id: id, is_repeat: true })
    }

    /// Checks the first bytes of the file, so that a wrong one is refused before it is accepted.
    async fn check_start(
        &self,
        spec: &TaskSpec,
        parts: &[TaskId],
        sizes: &[u64],
    ) -> Result<(), Error> {
        let kind = spec.kind();
        let mut start = FileStart::of(kind);
        if kind.reads_csv() && sizes.iter().all(|size| *size == 0) {
            return Err(Error::EmptyFile);
        }
        for (id, size) in parts.iter().zip(sizes).filter(|(_, size)| **size > 0) {
            if start.unchecked().is_none() {
                return Ok(());
            }
            let range = 0..(*size).min(csv_input::START_BYTES as u64);
            let reader = self.drafts.storage.open(ObjectKey::Input(*id), Some(range)).await?;
            let bytes: Vec<Bytes> =
                reader.into_stream().await?.try_collect().await.map_err(storage_failed)?;
            bytes.iter().try_for_each(|bytes| start.add(bytes))?;
        }
        start.check()
    }

    /// Hashes the parts, joins them, and makes the task.
    pub(super) async fn finish_final(
        &self,
        upload: &ResumableUpload,
        hold: &Hold,
    ) -> Result<AcceptedTask, Error> {
        let ids = upload.parts.clone();
        let found = self.drafts.db.read(move |conn| find_parts(conn, &ids)).await?;
        let sizes = found.iter().map(|part| part.as_ref().and_then(|part| part.size));
        let sizes: Option<Vec<u64>> = sizes.collect();
        let sizes = sizes.ok_or_else(|| DbError::corrupt("a part of an upload is gone"))?;
        let purpose = self.purpose(upload).await?.ok_or(Error::UploadNotFound)?;
        let mut intake = Intake::of(purpose.spec.kind());
        let hashing = self.hash(&upload.parts, &mut intake, hold);
        tokio::select! {
            hashed = hashing => hashed?,
            loss = hold.lost() => return Err(loss.error(upload.id, 0)),
        }
        let sha256 = intake.finish()?;
        let keys = upload.parts.iter().map(|id| ObjectKey::Input(*id));
        let parts: Vec<(ObjectKey, u64)> = keys.zip(sizes).collect();
        self.drafts.storage.concatenate(ObjectKey::Input(upload.id), &parts).await?;
        let accepted = self.accept(upload, purpose, sha256).await?;
        self.remove_parts(&upload.parts).await;
        Ok(accepted)
    }

    async fn hash(&self, parts: &[TaskId], intake: &mut Intake, hold: &Hold) -> Result<(), Error> {
        let mut done = 0;
        for id in parts {
            let reader = self.drafts.storage.open(ObjectKey::Input(*id), None).await?;
            let mut bytes = reader.into_stream().await?;
            while let Some(bytes) = bytes.try_next().await.map_err(storage_failed)? {
                intake.add(&bytes)?;
                done += bytes.len() as u64;
                hold.arrived(done);
            }
        }
        Ok(())
    }

    async fn remove_parts(&self, parts: &[TaskId]) {
        for id in parts {
            self.discard(*id).await;
        }
    }
}

fn storage_failed(error: std::io::Error) -> Error {
    common::storage::StorageError::from(error).into()
}

/// The parts as they are, in the given order.
fn find_parts(conn: &mut DbConnection, ids: &[TaskId]) -> DbResult<Vec<Option<ResumableUpload>>> {
    ids.iter().map(|id| store::find(conn, *id)).collect()
}

/// The same, locked until the transaction ends.
fn lock_parts(conn: &mut DbConnection, ids: &[TaskId]) -> DbResult<Vec<Option<ResumableUpload>>> {
    // In the order of their ids, so that two requests cannot deadlock.
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    for id in sorted {
        store::find_and_lock(conn, id)?;
    }
    find_parts(conn, ids)
}

/// The sizes of the parts, if each is complete and free.
fn usable(
    owner: UserId,
    ids: &[TaskId],
    found: &[Option<ResumableUpload>],
) -> Result<Vec<u64>, Error> {
    let size = |(id, part): (&TaskId, &Option<ResumableUpload>)| {
        let invalid = |reason| Error::InvalidPart { id: id.to_string(), reason };
        let part = part.as_ref().filter(|part| part.owner == owner);
        let part = part.ok_or_else(|| invalid("does not exist"))?;
        if part.role != Role::Partial {
            return Err(invalid("is not a partial upload"));
        }
        if part.final_id.is_some() {
            return Err(invalid("belongs to another final upload"));
        }
        match (part.state, part.size) {
            (UploadState::Done, Some(size)) => Ok(size),
            _ => Err(invalid("is not complete")),
        }
    };
    ids.iter().zip(found).map(size).collect()
}

/// The final upload that has taken all the parts.
fn existing(owner: UserId, ids: &[TaskId], found: &[Option<ResumableUpload>]) -> Option<TaskId> {
    let takers = found.iter().map(|part| {
        part.as_ref().filter(|part| part.owner == owner).and_then(|part| part.final_id)
    });
    let takers: Option<Vec<TaskId>> = takers.collect();
    let takers = takers.filter(|takers| takers.len() == ids.len())?;
    let first = *takers.first()?;
    takers.iter().all(|taker| *taker == first).then_some(first)
}
