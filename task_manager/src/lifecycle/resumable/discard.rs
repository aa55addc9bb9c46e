//! Ends uploads without a task: their owner terminates them, they expire, or their task was stopped.

use common::storage::{ObjectKey, Staged, StorageError};
use common::task::{TaskId, TaskState, UserId};
use tracing::warn;

use super::store::{self, ResumableUpload};
use super::{ResumableUploads, Role, UploadState};
use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::Error;
use crate::passes::{Failures, PassError};
use crate::tasks::store as tasks;

/// How many uploads one query lists.
const BATCH: i64 = 100;

/// The files of a removed upload.
struct Files {
    key: ObjectKey,
    staged: Option<Staged>,
}

/// Removes the uploads that have expired, and those whose task was stopped or is gone.
pub async fn pass(uploads: &ResumableUploads) -> Result<(), PassError> {
    let db = &uploads.drafts.db;
    let mut failures = Failures::default();
    let mut after = None;
    loop {
        let useless = db.read(move |conn| {
            let now = db::now(conn)?;
            store::useless(conn, now, after, BATCH)
        });
        let useless = useless.await?;
        let Some(last) = useless.last() else { return failures.into_result() };
        after = Some(*last);
        for id in useless {
            if let Err(error) = uploads.remove_useless(id).await {
                failures.note(id, error)?;
            }
        }
    }
}

impl ResumableUploads {
    /// Ends an upload of `owner`. One that became a task is forgotten; the task stays.
    ///
    /// # Errors
    /// There is no such upload.
    pub async fn terminate(&self, owner: UserId, id: TaskId) -> Result<(), Error> {
        self.find(owner, id).await?;
        match remove(&self.drafts.db, id, |_, _| Ok(true)).await? {
            Some(files) => Ok(self.delete(files).await?),
            None => Ok(()),
        }
    }

    /// Removes an upload that cannot become a task.
    pub async fn discard(&self, id: TaskId) {
        let removed = match remove(&self.drafts.db, id, |_, _| Ok(true)).await {
            Ok(Some(files)) => self.delete(files).await.map_err(PassError::from),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = removed {
            warn!(%error, "cannot remove a failed upload; it will expire");
        }
    }

    /// Removes an upload if it has expired, or if its task was stopped or is gone.
    pub(in crate::lifecycle) async fn remove_useless(&self, id: TaskId) -> Result<(), PassError> {
        let still_useless = |conn: &mut DbConnection, upload: &ResumableUpload| {
            if upload.expires_at < db::now(conn)? {
                return Ok(true);
            }
            let is_waiting = upload.state != UploadState::Done && upload.role != Role::Partial;
            let state = tasks::upload_state(conn, upload.id)?;
            Ok(is_waiting && state != Some(TaskState::Initializing))
        };
        match remove(&self.drafts.db, id, still_useless).await? {
            Some(files) => Ok(self.delete(files).await?),
            None => Ok(()),
        }
    }

    async fn delete(&self, Files { key, staged }: Files) -> Result<(), StorageError> {
        self.drafts.storage.discard_staged(key, staged.as_ref()).await?;
        self.drafts.storage.delete(key).await
    }
}

/// Removes an upload if `condition` is true for it under its lock, and its task if that waits for
/// the file. Returns the files that nobody needs any more.
async fn remove(
    db: &Database,
    id: TaskId,
    condition: impl Fn(&mut DbConnection, &ResumableUpload) -> DbResult<bool> + Send + 'static,
) -> DbResult<Option<Files>> {
    db.write(move |conn| {
        let Some((upload, _)) = store::find_and_lock(conn, id)? else { return Ok(None) };
        if !condition(conn, &upload)? {
            return Ok(None);
        }
        let has_become_task = upload.state == UploadState::Done && upload.role != Role::Partial;
        if !has_become_task && upload.role != Role::Partial {
            tasks::remove_initializing(conn, id)?;
        }
        store::remove(conn, &[id])?;
        let files = Files { key: ObjectKey::Input(id), staged: upload.staged };
        Ok((!has_become_task).then_some(files))
    })
    .await
}
