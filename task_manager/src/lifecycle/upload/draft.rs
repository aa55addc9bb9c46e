//! Drafts of uploads: an `initializing` task, a staged object, and a lease that is renewed while
//! the draft exists.
//!
//! # Invariants
//! - A background task renews the lease, also while the draft waits for the client, the disk or the
//!   final fsync.
//! - A draft that does not become a task leaves neither row nor object. One that is dropped without
//!   [abort](Draft::abort) is removed when its lease has expired.
//! - The file is never completely in memory.
//!
//! # Not here
//! HTTP, turning a draft into a task (`commit`).

use std::time::Duration;

use bytes::Bytes;
use common::report::InputFile;
use common::storage::{ObjectKey, ObjectWriter, Storage};
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskState, UserId};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, warn};

use crate::db::{self, Database, DbResult};
use crate::error::Error;
use crate::lifecycle::upload::file_start::FileStart;
use crate::tasks::limits::UPLOAD_LEASE;
use crate::tasks::store;

/// Creates drafts. Clones share everything.
#[derive(Debug, Clone)]
pub struct Drafts {
    pub db: Database,
    pub storage: Storage,
    /// The largest file that is accepted, in bytes.
    pub limit: u64,
    pub lease: LeaseTimes,
}

/// The timing of a draft's lease.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// How long it lasts without renewal.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// How often to check whether the task was stopped.
    pub check_every: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: UPLOAD_LEASE,
            renew_every: UPLOAD_LEASE / 3,
            check_every: Duration::from_millis(500),
        }
    }
}

/// The owner and the parameters of an upload.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub owner: UserId,
    pub spec: TaskSpec,
    pub file_name: String,
}

/// A file that is being received.
pub struct Draft {
    id: TaskId,
    purpose: Purpose,
    drafts: Drafts,
    writer: ObjectWriter,
    hash: Sha256,
    size: u64,
    start: FileStart,
    lease: Lease,
}

/// A complete file in the storage, and the `initializing` task that it is for.
#[derive(Debug, Clone)]
pub struct ReceivedFile {
    pub id: TaskId,
    pub purpose: Purpose,
    pub input: InputFile,
}

/// A complete file on disk. Its lease is renewed until it is dropped.
pub struct SealedDraft {
    pub(super) file: ReceivedFile,
    drafts: Drafts,
    _lease: Lease,
}

impl Draft {
    /// Inserts the task, and stages the object.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn begin(drafts: &Drafts, id: TaskId, purpose: Purpose) -> Result<Self, Error> {
        let lease = drafts.insert(id, &purpose).await?;
        Ok(Self {
            id,
            start: FileStart::of(purpose.spec.kind()),
            purpose,
            writer: drafts.storage.create(ObjectKey::Input(id)),
            hash: Sha256::new(),
            size: 0,
            lease,
            drafts: drafts.clone(),
        })
    }

    /// Appends `bytes`; waits while the storage is slower.
    ///
    /// # Errors
    /// The file is too large or of the wrong type, or the storage failed.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        let limit = self.drafts.limit;
        if self.size > limit {
            return Err(Error::TooLarge { limit });
        }
        self.start.add(&bytes)?;
        self.hash.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// Resolves when the draft has lost its task, with the reason.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + use<> {
        let (db, lost, id) = (self.drafts.db.clone(), self.lease.lost.clone(), self.id);
        async move {
            lost.cancelled().await;
            match db.read(move |conn| store::upload_state(conn, id)).await {
                Ok(state) => lost_error(id, state),
                Err(error) => error.into(),
            }
        }
    }

    /// Completes the file and syncs it to disk.
    ///
    /// # Errors
    /// The file is of the wrong type, or the storage failed. Then the draft is removed.
    pub async fn seal(mut self) -> Result<SealedDraft, Error> {
        if let Err(error) = self.start.check() {
            self.abort().await;
            return Err(error);
        }
        let Self { id, purpose, drafts, writer, hash, lease, .. } = self;
        let size = match writer.finish().await {
            Ok(size) => size,
            Err(error) => {
                drafts.forget(id).await;
                return Err(error.into());
            }
        };
        let sha256 = hex::encode(hash.finalize());
        let input = InputFile { file_name: purpose.file_name.clone(), size, sha256 };
        Ok(SealedDraft { file: ReceivedFile { id, purpose, input }, drafts, _lease: lease })
    }

    /// Removes the draft.
    pub async fn abort(self) {
        if let Err(error) = self.writer.abort().await {
            warn!(%error, "cannot delete the file of a failed upload, the sweep will");
        }
        self.drafts.forget(self.id).await;
    }
}

impl SealedDraft {
    /// Inserts a task, and makes its file a copy of the complete input of the task `source`.
    ///
    /// # Errors
    /// The file of `source` is gone or too large, or the database or the storage failed. Then no
    /// task remains.
    pub async fn copy(
        drafts: &Drafts,
        id: TaskId,
        purpose: Purpose,
        source: TaskId,
        input: InputFile,
    ) -> Result<Self, Error> {
        let limit = drafts.limit;
        if input.size > limit {
            return Err(Error::TooLarge { limit });
        }
        let lease = drafts.insert(id, &purpose).await?;
        let (from, to) = (ObjectKey::Input(source), ObjectKey::Input(id));
        if let Err(error) = drafts.storage.copy(from, to, input.size).await {
            drafts.forget(id).await;
            return Err(error.into());
        }
        let file = ReceivedFile { id, purpose, input };
        Ok(Self { file, drafts: drafts.clone(), _lease: lease })
    }

    /// Removes the draft, unless it became a task after all.
    pub async fn abort(self) {
        self.drafts.forget(self.file.id).await;
    }

    /// Removes the object, when another task is resumed instead.
    pub async fn delete_object(self) {
        self.drafts.delete_object(self.file.id).await;
    }
}

impl Drafts {
    /// Inserts the task of a draft under a lease.
    async fn insert(&self, id: TaskId, purpose: &Purpose) -> Result<Lease, Error> {
        let Purpose { owner, spec, file_name } = purpose.clone();
        let duration = self.lease.duration;
        let insert = self.db.write(move |conn| {
            let now = db::now(conn)?;
            store::insert_initializing(conn, id, owner, &spec, &file_name, now, now + duration)
        });
        insert.await?;
        Ok(Lease::start(&self.db, id, self.lease))
    }

    /// Removes the task of a failed upload, unless it was stopped, and the object. A commit in
    /// doubt may have succeeded after all; then the task keeps its file.
    async fn forget(&self, id: TaskId) {
        let is_gone = self.db.write(move |conn| {
            let is_removed = store::remove_initializing(conn, id)?;
            let left = store::upload_state(conn, id)?;
            let is_stopped = |state| matches!(state, TaskState::Stopping | TaskState::Stopped);
            Ok(is_removed || left.is_none_or(is_stopped))
        });
        match is_gone.await {
            Ok(true) => self.delete_object(id).await,
            Ok(false) => warn!("an upload with an unknown outcome was accepted"),
            Err(error) => warn!(%error, "cannot remove a failed upload; its lease will expire"),
        }
    }

    async fn delete_object(&self, id: TaskId) {
        if let Err(error) = self.storage.delete(ObjectKey::Input(id)).await {
            warn!(%error, "cannot delete the file of a failed upload, the sweep will");
        }
    }
}

/// The error for a draft whose task is no longer `initializing`; `state` is the current state of
/// the task, none if its row is gone.
pub(in crate::lifecycle) fn lost_error(id: TaskId, state: Option<TaskState>) -> Error {
    match state {
        Some(_) => Error::UploadStopped(id),
        None => Error::UploadLost,
    }
}

/// The lease of a draft; it is renewed until this is dropped.
struct Lease {
    lost: CancellationToken,
    _renewal: AbortOnDropHandle<()>,
}

impl Lease {
    fn start(db: &Database, id: TaskId, times: LeaseTimes) -> Self {
        let lost = CancellationToken::new();
        let renewal = renew(db.clone(), id, times, lost.clone()).in_current_span();
        Self { lost, _renewal: AbortOnDropHandle::new(tokio::spawn(renewal)) }
    }
}

/// Renews the lease until it is lost.
async fn renew(db: Database, id: TaskId, times: LeaseTimes, lost: CancellationToken) {
    // A file that arrives quickly costs no statement.
    let mut checks = interval_at(Instant::now() + times.check_every, times.check_every);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    let mut is_failing = false;
    loop {
        checks.tick().await;
        let now = Instant::now();
        let is_due = now - renewed >= times.renew_every;
        let held = match is_due {
            true => renew_once(&db, id, times.duration).await,
            false => db.read(move |conn| store::upload_state(conn, id)).await.map(is_initializing),
        };
        match held {
            Ok(true) => {
                is_failing = false;
                if is_due {
                    renewed = now;
                }
            }
            Ok(false) => return lost.cancel(),
            // The commit detects whether the lease was lost in the meantime.
            Err(error) if !is_failing => {
                is_failing = true;
                warn!(%error, "cannot renew the lease of an upload, will retry");
            }
            Err(_) => {}
        }
    }
}

async fn renew_once(db: &Database, id: TaskId, duration: Duration) -> DbResult<bool> {
    db.write(move |conn| {
        let until = db::now(conn)? + duration;
        store::renew_upload(conn, id, until)
    })
    .await
}

fn is_initializing(state: Option<TaskState>) -> bool {
    state == Some(TaskState::Initializing)
}

#[cfg(test)]
mod tests {
    use common::task::TaskKind;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;
    use crate::lifecycle::expire_leases;
    use crate::lifecycle::upload::commit::commit;
    use crate::lifecycle::wakeups::Wakeups;

    backend_tests![
        the_lease_is_renewed_until_the_commit,
        a_draft_without_its_row_is_lost_and_leaves_nothing,
        a_stopped_draft_leaves_nothing,
        a_dropped_draft_is_removed_by_its_lease,
    ];

    /// Several renewals fit into a lease, even on a busy machine.
    const TIMES: LeaseTimes = LeaseTimes {
        duration: Duration::from_secs(2),
        renew_every: Duration::from_millis(200),
        check_every: Duration::from_millis(50),
    };

    struct Fixture {
        own: OwnDatabase,
        drafts: Drafts,
        background: Wakeups,
    }

    impl Fixture {
        async fn new(backend: Backend) -> Self {
            let own = OwnDatabase::migrated(backend).await;
            let storage = Storage::local(&own.folder.path().join("bucket")).unwrap();
            let drafts = Drafts { db: own.db.clone(), storage, limit: 1 << 30, lease: TIMES };
            let background = Wakeups::default();
            Self { own, drafts, background }
        }

        async fn draft(&self) -> (TaskId, Draft) {
            let spec = TaskSpec::from_parameters(TaskKind::CsvAggregation, &[]).unwrap();
            let owner = UserId(uuid::Uuid::from_u128(7));
            let purpose = Purpose { owner, spec, file_name: "songs.csv".to_owned() };
            let id = TaskId::new();
            let mut draft = Draft::begin(&self.drafts, id, purpose).await.unwrap();
            draft.append(Bytes::from_static(b"Song,Date,Number of Plays\n")).await.unwrap();
            // More than the first part, so that an unfinished file exists.
            draft.append(Bytes::from(vec![b'\n'; 3 << 20])).await.unwrap();
            (id, draft)
        }

        async fn expire(&self) {
            let relay = self.background.relay();
            expire_leases::pass(&self.own.db, &self.drafts.storage, relay).await.unwrap();
        }

        async fn state(&self, id: TaskId) -> Option<TaskState> {
            self.own.db.read(move |conn| store::upload_state(conn, id)).await.unwrap()
        }

        /// Waits for longer than two leases, while expired ones are removed.
        async fn outlast_leases(&self, id: TaskId) {
            let end = Instant::now() + 2 * TIMES.duration + TIMES.duration / 2;
            while Instant::now() < end {
                tokio::time::sleep(TIMES.check_every).await;
                self.expire().await;
                assert_eq!(self.state(id).await, Some(TaskState::Initializing));
            }
        }

        fn files(&self) -> usize {
            let folder = self.own.folder.path().join("bucket/raw_data");
            std::fs::read_dir(folder).unwrap().count()
        }
    }

    async fn the_lease_is_renewed_until_the_commit(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let (id, draft) = fixture.draft().await;
        fixture.outlast_leases(id).await;
        let draft = draft.seal().await.unwrap();
        fixture.outlast_leases(id).await;
        let accepted = commit(&fixture.own.db, &fixture.background, draft, None).await.unwrap();
        assert_eq!((accepted.task.task_id, accepted.task.state), (id, TaskState::Queued));
        assert_eq!(fixture.files(), 1);
    }

    async fn a_draft_without_its_row_is_lost_and_leaves_nothing(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let remove = async |id| {
            fixture.own.db.write(move |conn| store::remove_initializing(conn, id)).await.unwrap()
        };
        let (id, draft) = fixture.draft().await;
        assert!(remove(id).await);
        assert!(matches!(draft.lost().await, Error::UploadLost));
        draft.abort().await;
        assert_eq!(fixture.files(), 0);

        let (id, draft) = fixture.draft().await;
        let draft = draft.seal().await.unwrap();
        assert!(remove(id).await);
        let committed = commit(&fixture.own.db, &fixture.background, draft, None).await;
        assert!(matches!(committed, Err(Error::UploadLost)), "{committed:?}");
        assert_eq!(fixture.files(), 0);
    }

    async fn a_stopped_draft_leaves_nothing(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let stop = async |id| {
            let stopped = fixture.own.db.write(move |conn| {
                let (task, now) = store::find_and_lock_one(conn, id)?.unwrap();
                store::end(conn, &task, TaskState::Stopping, now)
            });
            assert!(stopped.await.unwrap());
        };
        let (id, draft) = fixture.draft().await;
        stop(id).await;
        assert!(matches!(draft.lost().await, Error::UploadStopped(stopped) if stopped == id));
        draft.abort().await;

        let (id, draft) = fixture.draft().await;
        let draft = draft.seal().await.unwrap();
        stop(id).await;
        let committed = commit(&fixture.own.db, &fixture.background, draft, None).await;
        assert!(matches!(committed, Err(Error::UploadStopped(_))), "{committed:?}");
        assert_eq!(fixture.state(id).await, Some(TaskState::Stopping));
        assert_eq!(fixture.files(), 0);
    }

    async fn a_dropped_draft_is_removed_by_its_lease(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let (id, draft) = fixture.draft().await;
        drop(draft);
        let deadline = Instant::now() + 20 * TIMES.duration;
        while fixture.state(id).await.is_some() {
            assert!(Instant::now() < deadline, "its lease is no longer renewed");
            tokio::time::sleep(TIMES.check_every).await;
            fixture.expire().await;
        }
    }
}
