//! The worker protocol: what workers and the task manager say to each other over
//! `/internal/v1`, with the service token. Everything is batched, so that small tasks are cheap.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::task::spec::TaskSpec;
use crate::task::{KindName, Progress, TaskId};

/// How long an attempt stays a worker's without a heartbeat.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// Identifies a worker: one per start of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

/// `POST /internal/v1/claims`: a worker asks for the tasks of these deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// What the queue delivered.
    pub deliveries: Vec<ClaimedDelivery>,
}

/// What a message of the queue says.
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
    /// The worker is to run this.
    Attempt(Box<Attempt>),
    /// There is nothing to run for this delivery.
    Refused {
        /// The task asked for.
        task_id: TaskId,
        /// Why, for the log.
        refused: String,
    },
}

/// One run of a task by one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The task.
    pub task_id: TaskId,
    /// The fence: every report carries it, and holds only while it is the task's latest.
    pub attempt: u32,
    /// Seconds until the attempt is taken away from a worker that does not report.
    pub lease: u64,
    /// What to do.
    pub spec: TaskSpec,
    /// The input file, where the kind has one.
    pub input: Option<InputFile>,
    /// Where an earlier attempt got to.
    pub checkpoint: Option<Value>,
    /// To be run with nothing else beside it, since an earlier attempt lost its worker.
    #[serde(rename = "alone")]
    pub exclusive: bool,
}

/// The input file of a task; where it lies follows from the task's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// As the client named it.
    pub file_name: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

/// `POST /internal/v1/reports`: how a worker's tasks are doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// Who reports.
    pub worker: WorkerInfo,
    /// Nothing where the worker is idle.
    pub reports: Vec<Report>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// One per start of the process.
    pub id: WorkerId,
    /// For people: the host's name and the process id, unless set.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The kinds of task that it takes, also those that the task manager does not know.
    pub kinds: Vec<KindName>,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// Whether it takes no more tasks because it is about to end.
    pub draining: bool,
}

/// What happened to one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task.
    pub task_id: TaskId,
    /// The attempt.
    pub attempt: u32,
    /// What happened.
    pub event: Event,
}

/// What can happen to an attempt. All but the heartbeat end it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It runs; the lease is renewed.
    Heartbeat {
        /// How far it is, where that is known.
        progress: Option<Progress>,
    },
    /// It is done.
    Completed {
        /// What came out, by kind; part of the task's status.
        result: Value,
        /// The files that it made, where it made any.
        output: Option<Output>,
    },
    /// It is to be run again later: because of an error that may pass, or because the processor
    /// asked for a delay (then there is a checkpoint and no failure is counted).
    Retry {
        /// Seconds to wait at least; the task manager's backoff where absent.
        after: Option<f64>,
        /// Where to go on.
        checkpoint: Option<Value>,
        /// The error that may pass; none where the processor just asked for a delay.
        reason: Option<String>,
    },
    /// It ended with an error that stays.
    Failed {
        /// Becomes the task's `error`.
        error: Problem,
    },
    /// The worker ends and gives it back.
    Released {
        /// Where to go on.
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

/// The files that an attempt made; where they lie follows from the task's id and the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The name under which a client saves the result.
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

/// What the task manager says to one report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The attempt has ended as reported.
    Accepted,
    /// Go on.
    Continue,
    /// End it: what it wrote is rolled back.
    Stop,
    /// End it: what it wrote is kept.
    Kill,
    /// End it: it belongs to nobody or to another worker by now.
    LeaseLost,
    /// The report itself is wrong and would be wrong again.
    Rejected {
        /// What is wrong with it.
        problem: Box<Problem>,
    },
}

/// A [`RowBatch`] has this many rows at most, loaded and rejected ones together: a transaction that
/// keeps others waiting on SQLite stays short.
pub const MAX_BATCH_ROWS: usize = 2_000;
/// The texts of a [`RowBatch`] have this many bytes together at most, in UTF-8.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// No single text of a [`RowBatch`] has more characters.
pub const MAX_ROW_TEXT: usize = 1_000;

/// Where a load of rows got to. It is committed together with the rows before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadCheckpoint {
    /// How many records of the file were read, the header not counted: the number of the last
    /// one, loaded or rejected.
    pub row: u64,
    /// Where the next record begins, in bytes from the start of the file.
    pub offset: u64,
    /// The line of the file in which the next record begins, from 1.
    pub line: u64,
    /// How many rows were loaded.
    pub loaded: u64,
    /// How many rows were rejected.
    pub rejected: u64,
    /// Of the file that was read, in lower-case hexadecimal digits: another file starts anew.
    pub sha256: String,
}

/// `POST /internal/v1/tasks/{id}/rows`: a batch of a load, applied only where `from` is the
/// stored checkpoint. Batches may be sent before earlier ones are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowBatch {
    /// The fence.
    pub attempt: u32,
    /// The checkpoint behind which the batch goes on; none for the first one of a file.
    pub from: Option<LoadCheckpoint>,
    /// The checkpoint once the batch is in.
    pub checkpoint: LoadCheckpoint,
    /// The rows, in the order of the file: number, name and e-mail address.
    pub rows: Vec<(u64, String, String)>,
    /// The invalid rows.
    pub rejected: Vec<RejectedRow>,
}

/// An invalid row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedRow {
    /// The number of the row in the file, from 1, the header not counted.
    pub row: u64,
    /// The line on which the row begins, from 1.
    pub line: u64,
    /// The column; none if the row as a whole is invalid.
    pub column: Option<String>,
    /// What is there, shortened where it is long; none where it is no text.
    pub value: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// The answer to a [`RowBatch`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowsAnswer {
    /// `continue`, or why the attempt is to end.
    pub outcome: Outcome,
    /// The checkpoint that is stored now; none before the first batch.
    pub checkpoint: Option<LoadCheckpoint>,
}
