//! Completes uploads that have all their bytes.
//!
//! # Invariants
//! - Each step may be repeated, by any task manager: the storage completes a file once, and the
//!   commit takes an `initializing` task only.

use common::report::InputFile;
use common::storage::ObjectKey;
use common::task::{AcceptedTask, TaskId};
use tracing::warn;

use super::append::Appended;
use super::hold::{self, Hold};
use super::intake::Intake;
use super::store::{self, ResumableUpload};
use super::{ResumableUploads, Role};
use crate::db::{self, DbConnection, DbError};
use crate::error::Error;
use crate::lifecycle::upload::commit::{Accepted, Earlier, commit_file};
use crate::lifecycle::upload::draft::{Purpose, ReceivedFile};
use crate::passes::{Failures, PassError};

/// How many uploads one query lists.
const BATCH: i64 = 100;

/// Completes the uploads that no request is completing: their process has died, or the storage or
/// the database was not available.
pub async fn pass(uploads: &ResumableUploads) -> Result<(), PassError> {
    let mut failures = Failures::default();
    let unfinished = uploads.drafts.db.read(|conn| {
        let now = db::now(conn)?;
        store::unfinished(conn, now, BATCH)
    });
    for id in unfinished.await? {
        if let Err(error) = uploads.finish_waiting(id).await {
            failures.note(id, PassError::Upload(format!("{error:?}")))?;
        }
    }
    failures.into_result()
}

impl ResumableUploads {
    /// Completes an upload that has all its bytes, unless another request is completing it.
    ///
    /// # Errors
    /// The storage or the database is not available: then it is tried again. Or the upload is gone,
    /// or its file is of the wrong type: then it is removed.
    pub async fn finish_waiting(&self, id: TaskId) -> Result<Option<Appended>, Error> {
        let taken = hold::take_received(self, id).await?;
        let Some((upload, hold)) = taken else { return Ok(None) };
        self.finish(&upload, &hold).await.map(Some)
    }

    /// Completes an upload that has all its bytes and that the caller holds. The hold ends with it.
    ///
    /// # Errors
    /// As [`finish_waiting`](Self::finish_waiting).
    pub(super) async fn finish(
        &self,
        upload: &ResumableUpload,
        hold: &Hold,
    ) -> Result<Appended, Error> {
        let finished = match upload.role {
            Role::Partial => self.finish_partial(upload).await.map(|()| None),
            Role::Single => self.finish_single(upload).await.map(Some),
            Role::Final => self.finish_final(upload, hold).await.map(Some),
        };
        match finished {
            Ok(task) => Ok(Appended::complete(upload, task)),
            Err(error) => {
                let is_over = matches!(
                    error,
                    Error::UploadNotFound
                        | Error::UploadRemoved(_)
                        | Error::NotCsv(_)
                        | Error::EmptyFile
                );
                match is_over {
                    true => self.discard(upload.id).await,
                    false => self.release(upload.id, hold.writer, false).await,
                }
                Err(error)
            }
        }
    }

    async fn finish_partial(&self, upload: &ResumableUpload) -> Result<(), Error> {
        self.complete_object(upload).await?;
        let id = upload.id;
        let lifetime = self.lifetime;
        let done = self.drafts.db.write(move |conn| {
            let expires_at = db::now(conn)? + lifetime;
            store::set_done(conn, id, None, expires_at)
        });
        Ok(done.await?)
    }

    async fn finish_single(&self, upload: &ResumableUpload) -> Result<AcceptedTask, Error> {
        self.complete_object(upload).await?;
        let purpose = self.purpose(upload).await?.ok_or(Error::UploadNotFound)?;
        let stored = upload.intake.as_deref().ok_or_else(|| DbError::corrupt("no hash"))?;
        let sha256 = Intake::from_json(purpose.spec.kind(), stored)?.finish()?;
        self.accept(upload, purpose, sha256).await
    }

    async fn complete_object(&self, upload: &ResumableUpload) -> Result<(), Error> {
        let staged = upload.staged.as_ref().ok_or_else(|| DbError::corrupt("no staged file"))?;
        Ok(self.drafts.storage.complete(ObjectKey::Input(upload.id), staged).await?)
    }

    /// Makes the task of an upload whose file is in the storage, or resumes an earlier one.
    pub(super) async fn accept(
        &self,
        upload: &ResumableUpload,
        purpose: Purpose,
        sha256: String,
    ) -> Result<AcceptedTask, Error> {
        let id = upload.id;
        let size = upload.size.ok_or_else(|| DbError::corrupt("no size"))?;
        let input = InputFile { file_name: purpose.file_name.clone(), size, sha256 };
        let file = ReceivedFile { id, purpose, input };
        let (db, lifetime) = (&self.drafts.db, self.lifetime);
        let record = move |conn: &mut DbConnection, accepted: &Accepted<'_>| {
            let expires_at = db::now(conn)? + lifetime;
            store::set_done(conn, id, Some(accepted.answer.task.task_id), expires_at)
        };
        let accepted = commit_file(db, &self.wakeups, file, Earlier::Resumed, record);
        let accepted = accepted.await.map_err(|error| match error {
            Error::UploadStopped(id) => Error::UploadRemoved(id),
            Error::UploadLost => Error::UploadNotFound,
            error => error,
        })?;
        if accepted.resumed
            && let Err(error) = self.drafts.storage.delete(ObjectKey::Input(id)).await
        {
            warn!(%error, "cannot delete the file of a repeated upload, the sweep will");
        }
        Ok(accepted)
    }
}
