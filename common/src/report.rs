//! The worker protocol between workers and the task manager, under `/internal/v1` with the service
//! token. Every call is batched, so that small tasks are cheap.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::task::spec::TaskSpec;
use crate::task::{KindName, Progress, TaskId};

/// How long an attempt belongs to its worker without a heartbeat.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// Identifies a worker: one per start of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

/// `POST /internal/v1/claims`: a worker claims the tasks of these deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// The claiming worker.
    pub worker: WorkerId,
    /// The deliveries.
    pub deliveries: Vec<ClaimedDelivery>,
}

/// The content of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClaimedDelivery {
    /// The task to run.
    pub task_id: TaskId,
    /// The dispatch number, from 1; any but the latest is refused.
    pub dispatch: u32,
}

/// The answers to a [`ClaimRequest`], in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimResponse {
    /// One for each delivery.
    pub claims: Vec<Claim>,
}

/// The answer for one delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    /// The worker must run this.
    Attempt(Box<Attempt>),
    /// The delivery has nothing to run.
    Refused {
        /// The claimed task.
        task_id: TaskId,
        /// The reason, for the log.
        refused: String,
    },
}

/// One run of a task by one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The task.
    pub task_id: TaskId,
    /// The fence: every report carries it, and is valid only while it is the task's latest attempt.
    pub attempt: u32,
    /// Seconds until the attempt is revoked if the worker does not report.
    pub lease: u64,
    /// What to do.
    pub spec: TaskSpec,
    /// The input file, if the kind has one.
    pub input: Option<InputFile>,
    /// The checkpoint of an earlier attempt.
    pub checkpoint: Option<Value>,
    /// Whether the worker must run nothing beside it, since an earlier attempt lost its worker.
    #[serde(rename = "alone")]
    pub exclusive: bool,
}

/// The input file of a task; its location follows from the task's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// The name given by the client.
    pub file_name: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

/// `POST /internal/v1/reports`: the events of a worker's attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// The reporting worker.
    pub worker: WorkerInfo,
    /// Empty if the worker is idle.
    pub reports: Vec<Report>,
}

/// A worker's description of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// One per start of the process.
    pub id: WorkerId,
    /// A name for display: the host's name and the process id, unless configured.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The kinds of task that it runs, including those that the task manager does not know.
    pub kinds: Vec<KindName>,
    /// How many tasks it runs at a time.
    pub slots: u32,
    /// Whether it accepts no more tasks because it is shutting down.
    pub draining: bool,
}

/// An event of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task.
    pub task_id: TaskId,
    /// The attempt.
    pub attempt: u32,
    /// The event.
    pub event: Event,
}

/// An event of an attempt. All but the heartbeat end it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is running; the lease is renewed.
    Heartbeat {
        /// Its progress, if known.
        progress: Option<Progress>,
    },
    /// It succeeded.
    Completed {
        /// The result, by kind; part of the task's status.
        result: Value,
        /// Its output files, if any.
        output: Option<Output>,
    },
    /// It should run again later: because of a transient error, or because the processor requested
    /// a delay (then it has a checkpoint and no failure is counted).
    Retry {
        /// The least seconds to wait; if absent, the task manager's backoff.
        after: Option<f64>,
        /// The checkpoint to resume from.
        checkpoint: Option<Value>,
        /// The transient error; none if the processor only requested a delay.
        reason: Option<String>,
        /// What the task waits for, if it waits for something outside of it, such as free space.
        /// This is recorded, and no failure is counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits_for: Option<String>,
    },
    /// It ended with a permanent error.
    Failed {
        /// Becomes the task's `error`.
        error: Problem,
    },
    /// The worker is shutting down and returns it.
    Released {
        /// The checkpoint to resume from.
        checkpoint: Option<Value>,
    },
}

impl Event {
    /// The name of the event on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Heartbeat { .. } => "heartbeat",
            Self::Completed { .. } => "completed",
            Self::Retry { .. } => "retry",
            Self::Failed { .. } => "failed",
            Self::Released { .. } => "released",
        }
    }

    /// Whether it ends the attempt.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Heartbeat { .. })
    }
}

/// The output files of an attempt; their location follows from the task's id and the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The file name of the result for clients.
    pub file_name: String,
    /// The media type of the result.
    pub media_type: String,
    /// The size of the result in bytes.
    pub size: u64,
    /// Whether there is a file of rejected rows too.
    pub has_rejected: bool,
}

/// The answers to a [`ReportRequest`], in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportResponse {
    /// One for each report.
    pub outcomes: Vec<Outcome>,
}

/// The task manager's answer to one report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The attempt has ended as reported.
    Accepted,
    /// Continue.
    Continue,
    /// End it: its data is rolled back.
    Stop,
    /// End it: its data is kept.
    Kill,
    /// End it: it no longer belongs to this worker.
    LeaseLost,
    /// The report is invalid, and a retry would be invalid too.
    Rejected {
        /// Why it is invalid.
        problem: Box<Problem>,
    },
}

/// The most rows of a [`RowBatch`], loaded and rejected ones together: this keeps its transaction,
/// for which others wait on SQLite, short.
pub const MAX_BATCH_ROWS: usize = 2_000;
/// The most bytes of all texts of a [`RowBatch`], in UTF-8.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// The most characters of a single text of a [`RowBatch`].
pub const MAX_ROW_TEXT: usize = 1_000;

/// The checkpoint of a load. It is committed together with the rows before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadCheckpoint {
    /// How many records of the file were read, without the header: the number of the last one,
    /// loaded or rejected.
    pub row: u64,
    /// The offset of the next record, in bytes from the start of the file.
    pub offset: u64,
    /// The line of the file in which the next record begins, from 1.
    pub line: u64,
    /// How many rows were loaded.
    pub loaded: u64,
    /// How many rows were rejected.
    pub rejected: u64,
    /// The hash of the file, in lower-case hexadecimal digits: another file starts from the
    /// beginning.
    pub sha256: String,
}

/// `POST /internal/v1/tasks/{id}/rows`: a batch of a load, applied only if `from` is the stored
/// checkpoint. Batches may be sent before earlier ones are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowBatch {
    /// The fence.
    pub attempt: u32,
    /// The checkpoint at which the batch starts; none for the first one of a file.
    pub from: Option<LoadCheckpoint>,
    /// The checkpoint after the batch.
    pub checkpoint: LoadCheckpoint,
    /// The rows, in the order of the file: number, name and e-mail address.
    pub rows: Vec<(u64, String, String)>,
    /// The invalid rows.
    pub rejected: Vec<RejectedRow>,
}

/// An invalid row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedRow {
    /// The number of the row in the file, from 1, without the header.
    pub row: u64,
    /// The line on which the row begins, from 1.
    pub line: u64,
    /// The column; none if the row as a whole is invalid.
    pub column: Option<String>,
    /// The value, shortened if it is long; none if it is not text.
    pub value: Option<String>,
    /// Why it is invalid.
    pub reason: String,
}

/// `POST /internal/v1/tasks/{id}/steps`: acts on the next tasks of a bulk action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequest {
    /// The fence.
    pub attempt: u32,
}

/// The answer to a [`StepRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepAnswer {
    /// `continue`, or why the attempt must end.
    pub outcome: Outcome,
    /// Whether no task is left to act on.
    pub is_complete: bool,
}

/// The answer to a [`RowBatch`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowsAnswer {
    /// `continue`, or why the attempt must end.
    pub outcome: Outcome,
    /// The stored checkpoint; none before the first batch.
    pub checkpoint: Option<LoadCheckpoint>,
}
