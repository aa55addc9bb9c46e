//! Tasks as the task manager stores them.
//!
//! # Invariants
//! - A state changes only by compare-and-swap, along `TaskState::can_become`.
//! - `attempt` is the fence: only a claim raises it, nothing lowers it.
//! - Every query on behalf of a user filters by owner.

pub mod attempts;
pub mod end;
pub mod file_names;
pub mod limits;
pub mod outbox;
pub mod outputs;
pub mod store;
pub mod submissions;
pub mod transitions;
pub mod unreadable;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::problem::Problem;
use common::report::{InputFile, LEASE, Output, WorkerId};
use common::task::spec::TaskSpec;
use common::task::{Progress, TaskId, TaskKind, TaskState, UserId};
use serde_json::Value;

/// A task, read from its row.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: TaskId,
    pub owner: UserId,
    pub state: TaskState,
    pub spec: TaskSpec,
    /// How many times a worker claimed it; the fence of every report.
    pub attempt: u32,
    /// How many times it was queued.
    pub dispatch: u32,
    pub failures: u32,
    /// Whether a worker must run nothing beside it, since an attempt lost its worker.
    pub exclusive: bool,
    /// The worker that has claimed it last.
    pub worker: Option<WorkerId>,
    /// Until when its worker or the request of its upload must report again.
    pub leased_until: Option<NaiveDateTime>,
    pub progress: Option<Progress>,
    pub checkpoint: Option<Value>,
    pub input: Option<InputFile>,
    pub output: Option<Output>,
    /// The attempt whose output is the result.
    pub output_attempt: Option<u32>,
    pub result: Option<Value>,
    pub error: Option<Problem>,
    pub created_at: NaiveDateTime,
    pub changed_at: NaiveDateTime,
    pub queued_at: Option<NaiveDateTime>,
    pub started_at: Option<NaiveDateTime>,
    pub attempt_started_at: Option<NaiveDateTime>,
    pub finished_at: Option<NaiveDateTime>,
    /// Whether retention has removed its files.
    pub files_removed: bool,
}

impl Task {
    pub fn kind(&self) -> TaskKind {
        self.spec.kind()
    }

    /// The input file, if all of it has arrived and it has not been removed.
    pub fn kept_input(&self) -> Option<&InputFile> {
        let is_complete = |input: &&InputFile| !input.sha256.is_empty();
        self.input.as_ref().filter(is_complete).filter(|_| !self.files_removed)
    }

    /// The first row that an attempt reads if it resumes from the checkpoint; none if the kind does
    /// not read rows, or reads them from the start.
    pub fn resumes_from_row(&self) -> Option<u64> {
        self.checkpoint.as_ref()?.get("row")?.as_u64()?.checked_add(1)
    }

    /// When the worker that runs it last reported: every report renews the lease.
    pub fn heartbeat_at(&self) -> Option<NaiveDateTime> {
        self.leased_until.filter(|_| self.state == TaskState::Processing).map(|until| until - LEASE)
    }
}

/// Adds the time zone, for clients.
pub fn utc(time: Option<NaiveDateTime>) -> Option<DateTime<Utc>> {
    time.map(|time| time.and_utc())
}
