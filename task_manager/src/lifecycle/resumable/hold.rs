//! The right to write to an upload: one request holds it at a time, on whichever task manager.
//!
//! # Invariants
//! - Each writer has a number, higher than all before. It is the fence: what an earlier writer has
//!   stored is recorded only while its number is the latest.
//! - A request that waits for an upload asks its holder to release it. A holder that does not react
//!   in time has lost it: the wait is bounded, whatever happened to the holder.
//! - A holder that lost the upload may still be writing. Its successor is told so, and shares no
//!   object with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::task::{Progress, TaskId, TaskState, UserId};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, warn};

use super::store::{self, HoldStatus, ResumableUpload};
use super::{ResumableUploads, Role, UploadState};
use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::{Error, Interruption};
use crate::lifecycle::upload::draft::Drafts;

/// How long a request waits for the holder to release an upload before it takes it over. Clients
/// that lost their connection ask again within seconds, and must not wait for a dead request.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// How often a waiting request checks whether the upload is free.
const POLL: Duration = Duration::from_millis(50);
/// How often a holder checks whether another request waits, or the task was stopped.
const CHECK: Duration = Duration::from_millis(200);
/// How often a holder renews its hold, and records how much has arrived.
const RENEW: Duration = Duration::from_secs(1);
/// How long a hold lasts without renewal. Only completing an upload in the background waits for it.
pub(super) const HOLD: Duration = Duration::from_secs(15);

/// Why a request no longer holds an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Another request waits for the upload; what has arrived can be kept.
    Requested,
    /// The task manager shuts down; what has arrived can be kept.
    Shutdown,
    /// Another request has taken over the upload.
    TakenOver,
    /// The upload or its task is gone, or the task was stopped.
    Gone(Option<TaskState>),
}

impl Loss {
    /// The error of a request that lost the upload with this id, of which `offset` bytes are stored.
    pub(super) fn error(self, id: TaskId, offset: u64) -> Error {
        let interrupted = |why| Error::UploadInterrupted { offset, why };
        match self {
            Self::Requested | Self::TakenOver => interrupted(Interruption::Replaced),
            Self::Shutdown => interrupted(Interruption::Shutdown),
            Self::Gone(Some(_)) => Error::UploadRemoved(id),
            Self::Gone(None) => Error::UploadNotFound,
        }
    }
}

/// The right to write to an upload.
#[derive(Debug)]
pub struct Hold {
    pub writer: u32,
    /// Whether the previous writer may still be writing.
    pub takes_over: bool,
    watched: Arc<Watched>,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Watched {
    received: AtomicU64,
    loss: OnceLock<Loss>,
    lost: CancellationToken,
}

impl Watched {
    fn lose(&self, loss: Loss) {
        if self.loss.set(loss).is_ok() {
            self.lost.cancel();
        }
    }
}

/// Waits until no request holds the upload, and returns it.
///
/// # Errors
/// The user has no such upload.
pub async fn settled(db: &Database, owner: UserId, id: TaskId) -> Result<ResumableUpload, Error> {
    let (upload, _) = free(db, owner, id, false).await?;
    Ok(upload)
}

/// Takes the upload, from another request if need be. No hold if it has all its bytes.
///
/// # Errors
/// The user has no such upload.
pub async fn take(
    uploads: &ResumableUploads,
    owner: UserId,
    id: TaskId,
) -> Result<(ResumableUpload, Option<Hold>), Error> {
    let (upload, grant) = free(&uploads.drafts.db, owner, id, true).await?;
    let hold = grant.map(|takes_over| Hold::start(uploads, &upload, takes_over));
    Ok((upload, hold))
}

/// Takes an upload that has all its bytes, to complete it; none if another request is completing
/// it, or it is done or gone.
pub async fn take_received(
    uploads: &ResumableUploads,
    id: TaskId,
) -> DbResult<Option<(ResumableUpload, Hold)>> {
    let taken = uploads.drafts.db.write(move |conn| {
        let Some((mut upload, now)) = store::find_and_lock(conn, id)? else { return Ok(None) };
        let is_held = upload.held_until.is_some_and(|until| until > now);
        if upload.state != UploadState::Received || is_held {
            return Ok(None);
        }
        upload.writer += 1;
        store::hold(conn, id, upload.writer, now + HOLD)?;
        Ok(Some(upload))
    });
    Ok(taken.await?.map(|upload| {
        let hold = Hold::start(uploads, &upload, false);
        (upload, hold)
    }))
}

impl Hold {
    fn start(uploads: &ResumableUploads, upload: &ResumableUpload, takes_over: bool) -> Self {
        let watched = Arc::new(Watched::default());
        watched.received.store(upload.received, Ordering::Relaxed);
        let watch = watch(uploads.clone(), upload.clone(), Arc::clone(&watched));
        let watch = AbortOnDropHandle::new(tokio::spawn(watch.in_current_span()));
        Self { writer: upload.writer, takes_over, watched, _watch: watch }
    }

    /// Resolves when the upload is lost or wanted by others.
    pub fn lost(&self) -> impl Future<Output = Loss> + Send + use<> {
        let watched = Arc::clone(&self.watched);
        async move {
            watched.lost.cancelled().await;
            watched.loss.get().copied().unwrap_or(Loss::TakenOver)
        }
    }

    /// Notes how many bytes have arrived, for the progress of the task.
    pub fn arrived(&self, received: u64) {
        // Relaxed: the number is only displayed, and orders no other memory access.
        self.watched.received.store(received, Ordering::Relaxed);
    }
}

enum Step {
    /// No request holds the upload. A writer holds it now; whether it takes it over.
    Free(Box<ResumableUpload>, Option<bool>),
    Busy,
    NotFound,
}

async fn free(
    db: &Database,
    owner: UserId,
    id: TaskId,
    to_write: bool,
) -> Result<(ResumableUpload, Option<bool>), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is_late = Instant::now() >= deadline;
        match db.write(move |conn| step(conn, owner, id, to_write, is_late)).await? {
            Step::Free(upload, grant) => return Ok((*upload, grant)),
            Step::NotFound => return Err(Error::UploadNotFound),
            Step::Busy => sleep(POLL).await,
        }
    }
}

fn step(
    conn: &mut DbConnection,
    owner: UserId,
    id: TaskId,
    to_write: bool,
    is_late: bool,
) -> DbResult<Step> {
    let Some((mut upload, now)) = store::find_and_lock(conn, id)? else {
        return Ok(Step::NotFound);
    };
    if upload.owner != owner {
        return Ok(Step::NotFound);
    }
    if upload.state != UploadState::Receiving {
        return Ok(Step::Free(Box::new(upload), None));
    }
    let is_held = upload.held_until.is_some_and(|until| until > now);
    if is_held && !is_late {
        store::request_release(conn, id)?;
        return Ok(Step::Busy);
    }
    // Not released: the last writer may still be writing.
    let takes_over = upload.held_until.is_some();
    if to_write || is_held {
        upload.writer += 1;
        // A request that only takes the fence away leaves the mark for the next writer.
        let until = if to_write { now + HOLD } else { now };
        store::hold(conn, id, upload.writer, until)?;
    }
    Ok(Step::Free(Box::new(upload), to_write.then_some(takes_over)))
}

/// Watches whether the upload is lost, renews the hold, and records the progress.
async fn watch(uploads: ResumableUploads, upload: ResumableUpload, watched: Arc<Watched>) {
    let ResumableUploads { drafts: Drafts { db, .. }, shutdown, lifetime, .. } = uploads;
    // A request that ends soon costs no statement.
    let mut checks = interval_at(Instant::now() + CHECK, CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut renewed, mut before) = (Instant::now(), upload.received);
    let mut is_failing = false;
    loop {
        tokio::select! {
            _ = checks.tick() => {}
            () = shutdown.cancelled() => return watched.lose(Loss::Shutdown),
        }
        let is_due = renewed.elapsed() >= RENEW;
        let (id, writer, received) =
            (upload.id, upload.writer, watched.received.load(Ordering::Relaxed));
        let per_second = received.saturating_sub(before) as f64 / renewed.elapsed().as_secs_f64();
        let progress = is_due
            .then(|| Progress { per_second: Some(per_second), ..progress(received, upload.size) });
        let status = match progress {
            Some(progress) => {
                db.write(move |conn| renew(conn, id, writer, &progress, lifetime)).await
            }
            None => db.read(move |conn| store::hold_status(conn, id)).await,
        };
        match status {
            Ok(status) => {
                is_failing = false;
                if is_due {
                    (renewed, before) = (Instant::now(), received);
                }
                if let Some(loss) = loss(&upload, status) {
                    return watched.lose(loss);
                }
            }
            // The next commit detects whether the upload was lost in the meantime.
            Err(error) if !is_failing => {
                is_failing = true;
                warn!(%error, "cannot renew the hold of an upload, will retry");
            }
            Err(_) => {}
        }
    }
}

fn renew(
    conn: &mut DbConnection,
    id: TaskId,
    writer: u32,
    progress: &Progress,
    lifetime: Duration,
) -> DbResult<Option<HoldStatus>> {
    let now = db::now(conn)?;
    if store::renew(conn, id, writer, now + HOLD)? {
        store::task_progress(conn, id, progress, now, lifetime)?;
    }
    store::hold_status(conn, id)
}

fn loss(upload: &ResumableUpload, status: Option<HoldStatus>) -> Option<Loss> {
    let Some(status) = status else { return Some(Loss::Gone(None)) };
    if status.writer != upload.writer {
        return Some(Loss::TakenOver);
    }
    let has_task = upload.role != Role::Partial;
    if has_task && status.task != Some(TaskState::Initializing) {
        return Some(Loss::Gone(status.task));
    }
    status.release_requested.then_some(Loss::Requested)
}

/// The progress of a task whose file arrives.
pub(super) fn progress(received: u64, size: Option<u64>) -> Progress {
    let unit = "bytes".to_owned();
    Progress { done: received, total: size, unit, per_second: None, rejected_rows: None }
}
