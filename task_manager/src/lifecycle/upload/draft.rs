//! A file on its way in: an `initializing` task, a staged object, and a lease that is renewed as long
//! as the draft lives.
//!
//! # Invariants
//! - The lease is renewed by a task of its own, whatever the draft waits for: the client, the disk,
//!   the fsync at the end.
//! - A draft that does not become a task leaves neither row nor object. One that is dropped instead of
//!   [aborted](Draft::abort) is removed when its lease has expired.
//! - The file is never whole in memory.
//!
//! # Not here
//! HTTP, and how a file becomes a task (`commit`).

use std::time::Duration;

use bytes::Bytes;
use common::report::InputFile;
use common::storage::{ObjectKey, ObjectWriter, Storage};
use common::task::spec::TaskSpec;
use common::task::{TaskId, TaskKind, TaskState, UserId};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, warn};

use crate::db::{self, Database, DbResult};
use crate::error::Error;
use crate::tasks::limits::UPLOAD_LEASE;
use crate::tasks::store;

/// Where drafts are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Drafts {
    pub db: Database,
    pub storage: Storage,
    /// The largest file that is taken, in bytes.
    pub limit: u64,
    pub lease: LeaseTimes,
}

/// How the lease of a draft is kept.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// How long it lasts without being renewed.
    pub lasts: Duration,
    /// How often it is renewed.
    pub renewed: Duration,
    /// How often the draft notices that it was stopped.
    pub checked: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { lasts: UPLOAD_LEASE, renewed: UPLOAD_LEASE / 3, checked: Duration::from_millis(500) }
    }
}

/// What a file is uploaded for.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub owner: UserId,
    pub spec: TaskSpec,
    pub file_name: String,
}

/// A file that arrives.
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

/// A file that has arrived and is on the disk. Its lease is renewed until it is dropped.
pub struct SealedDraft {
    pub(super) id: TaskId,
    pub(super) purpose: Purpose,
    pub(super) input: InputFile,
    drafts: Drafts,
    _lease: Lease,
}

impl Draft {
    /// Inserts the task, and stages the object.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn begin(drafts: &Drafts, id: TaskId, purpose: Purpose) -> Result<Self, Error> {
        let Purpose { owner, spec, file_name } = purpose.clone();
        let lasts = drafts.lease.lasts;
        let insert = drafts.db.write(move |conn| {
            let now = db::now(conn)?;
            store::insert_initializing(conn, id, owner, &spec, &file_name, now, now + lasts)
        });
        insert.await?;
        Ok(Self {
            id,
            start: FileStart::of(purpose.spec.kind()),
            purpose,
            writer: drafts.storage.create(ObjectKey::Input(id)),
            hash: Sha256::new(),
            size: 0,
            lease: Lease::hold(&drafts.db, id, drafts.lease),
            drafts: drafts.clone(),
        })
    }

    /// Adds `bytes` at the end; waits while the storage is behind.
    ///
    /// # Errors
    /// The file is too large or not of its kind, or the storage does not work.
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
                Ok(state) => loss(id, state),
                Err(error) => error.into(),
            }
        }
    }

    /// Ends the file: it is whole, and on the disk.
    ///
    /// # Errors
    /// The file is not of its kind, or the storage does not work; then nothing is left.
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
        Ok(SealedDraft { id, purpose, input, drafts, _lease: lease })
    }

    /// Gives the file up: nothing is left of it.
    pub async fn abort(self) {
        if let Err(error) = self.writer.abort().await {
            warn!(%error, "the file of a failed upload is left to the sweep");
        }
        self.drafts.forget(self.id).await;
    }
}

impl SealedDraft {
    /// Gives the file up: nothing is left of it, unless it became a task after all.
    pub async fn abort(self) {
        self.drafts.forget(self.id).await;
    }

    /// Removes the object: another task goes on instead.
    pub async fn delete_object(self) {
        self.drafts.delete_object(self.id).await;
    }
}

impl Drafts {
    /// Removes what a failed upload left: the task, unless somebody stopped it, and the object.
    /// A commit in doubt may have made it a task after all; then it keeps its file.
    async fn forget(&self, id: TaskId) {
        let is_gone = self.db.write(move |conn| {
            let is_removed = store::remove_initializing(conn, id)?;
            let left = store::upload_state(conn, id)?;
            let is_stopped = |state| matches!(state, TaskState::Stopping | TaskState::Stopped);
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

/// Why a draft whose task is no longer `initializing` cannot become one; `state` is what became of
/// the task, none where its row is gone.
pub(super) fn loss(id: TaskId, state: Option<TaskState>) -> Error {
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
    fn hold(db: &Database, id: TaskId, times: LeaseTimes) -> Self {
        let lost = CancellationToken::new();
        let renewal = renew(db.clone(), id, times, lost.clone()).in_current_span();
        Self { lost, _renewal: AbortOnDropHandle::new(tokio::spawn(renewal)) }
    }
}

/// Renews the lease until it is lost.
async fn renew(db: Database, id: TaskId, times: LeaseTimes, lost: CancellationToken) {
    // A file that arrives at once costs no statement.
    let mut checks = interval_at(Instant::now() + times.checked, times.checked);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    let mut is_failing = false;
    loop {
        checks.tick().await;
        let now = Instant::now();
        let is_due = now - renewed >= times.renewed;
        let held = match is_due {
            true => renew_once(&db, id, times.lasts).await,
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
            // The commit finds out whether the lease was lost meanwhile.
            Err(error) if !is_failing => {
                is_failing = true;
                warn!(%error, "cannot renew the lease of an upload, will retry");
            }
            Err(_) => {}
        }
    }
}

async fn renew_once(db: &Database, id: TaskId, lasts: Duration) -> DbResult<bool> {
    db.write(move |conn| {
        let until = db::now(conn)? + lasts;
        store::renew_upload(conn, id, until)
    })
    .await
}

fn is_initializing(state: Option<TaskState>) -> bool {
    state == Some(TaskState::Initializing)
}

/// The first bytes of a file, kept until there are enough to tell CSV text from other files.
struct FileStart {
    kind: TaskKind,
    bytes: Vec<u8>,
    is_checked: bool,
}

impl FileStart {
    fn of(kind: TaskKind) -> Self {
        Self { kind, bytes: Vec::new(), is_checked: !kind.reads_csv() }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.is_checked {
            return Ok(());
        }
        let missing = csv_input::START_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        match self.bytes.len() >= csv_input::START_BYTES {
            true => self.check(),
            false => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        if self.is_checked {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.is_checked = true;
        let is_unpacked_later = self.kind.unpacks() && csv_input::packing(&bytes).is_some();
        match is_unpacked_later {
            true => Ok(()),
            false => csv_input::check_start(&bytes).map_err(Error::NotCsv),
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// Several renewals fit into a lease, also on a busy machine.
    const TIMES: LeaseTimes = LeaseTimes {
        lasts: Duration::from_secs(2),
        renewed: Duration::from_millis(200),
        checked: Duration::from_millis(50),
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
            // Past the first part, so that there is an unfinished file.
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

        /// Waits for longer than two leases, while expired ones are looked for.
        async fn outlast_leases(&self, id: TaskId) {
            let end = Instant::now() + 2 * TIMES.lasts + TIMES.lasts / 2;
            while Instant::now() < end {
                tokio::time::sleep(TIMES.checked).await;
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
        let deadline = Instant::now() + 20 * TIMES.lasts;
        while fixture.state(id).await.is_some() {
            assert!(Instant::now() < deadline, "nobody renews it any more");
            tokio::time::sleep(TIMES.checked).await;
            fixture.expire().await;
        }
    }
}
