//! Tasks: their ids, kinds, states and wire format.

mod kind_name;
pub mod spec;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

pub use kind_name::KindName;

/// Identifies a task: a UUIDv7, so ids sort by creation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = Uuid)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// A new id, greater than all earlier ones of this process.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "every id differs, so there is no default one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Identifies the user that a task belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// A text that is not one of an enumeration's names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not one of {}", expected.join(", "))]
pub struct UnknownName {
    /// The given text.
    pub text: String,
    /// The valid names.
    pub expected: Vec<&'static str>,
}

/// Finds the value that is called `text` among `all` values of an enumeration.
///
/// # Errors
/// No value has this name.
pub fn named<T: Copy, const N: usize>(
    text: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, UnknownName> {
    let unknown = || UnknownName { text: text.to_owned(), expected: all.map(name).to_vec() };
    all.into_iter().find(|value| name(*value) == text).ok_or_else(unknown)
}

/// What a task does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Sums of a CSV file's columns by groups of equal rows.
    CsvAggregation,
    /// Lines, words and characters of any file.
    FileStatistics,
    /// Loads the rows of a CSV file into the database.
    DataUpload,
    /// Validates a message.
    MessageValidation,
    /// Records an event of a user.
    UserEvent,
    /// Sends the report of user events by e-mail.
    ReportEmail,
    /// The first rows of a CSV file, and statistics of its columns.
    CsvPreview,
    /// Stops, kills, resumes or deletes many tasks.
    BulkAction,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::CsvAggregation,
        Self::FileStatistics,
        Self::DataUpload,
        Self::MessageValidation,
        Self::UserEvent,
        Self::ReportEmail,
        Self::CsvPreview,
        Self::BulkAction,
    ];

    /// The name on the wire, in the database and of the queue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CsvAggregation => "csv_aggregation",
            Self::FileStatistics => "file_statistics",
            Self::DataUpload => "data_upload",
            Self::MessageValidation => "message_validation",
            Self::UserEvent => "user_event",
            Self::ReportEmail => "report_email",
            Self::CsvPreview => "csv_preview",
            Self::BulkAction => "bulk_action",
        }
    }

    /// Whether its input must be CSV text.
    #[must_use]
    pub fn reads_csv(self) -> bool {
        match self {
            Self::CsvAggregation | Self::DataUpload | Self::CsvPreview => true,
            Self::FileStatistics
            | Self::MessageValidation
            | Self::UserEvent
            | Self::ReportEmail
            | Self::BulkAction => false,
        }
    }

    /// Whether its input may be compressed by gzip or zstd.
    #[must_use]
    pub fn may_be_compressed(self) -> bool {
        self == Self::CsvAggregation
    }

    /// The route that creates tasks of the kind; none if they are created by an upload.
    #[must_use]
    pub fn created_by(self) -> Option<&'static str> {
        match self {
            Self::CsvAggregation | Self::FileStatistics | Self::DataUpload | Self::CsvPreview => {
                None
            }
            Self::MessageValidation => Some("POST /v1/messages"),
            Self::UserEvent => Some("POST /v1/user_events"),
            Self::ReportEmail => Some("POST /v1/schedules/{name}/run"),
            Self::BulkAction => Some("POST /v1/tasks/actions"),
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// The state of a task.
///
/// ```text
/// initializing -> queued -> processing -> processed | failed
/// stop:   initializing, queued, processing, killed, failed -> stopping -> stopped
/// kill:   queued, processing -> killed
/// resume: killed, failed -> queued
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Its file is being received.
    Initializing,
    /// It is waiting for a worker.
    Queued,
    /// A worker is running it.
    Processing,
    /// It succeeded; its result can be fetched.
    Processed,
    /// It ended with an error.
    Failed,
    /// It was stopped, and its data is being rolled back.
    Stopping,
    /// It was stopped, and its data is rolled back.
    Stopped,
    /// It was killed; its durable data is kept.
    Killed,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Initializing,
        Self::Queued,
        Self::Processing,
        Self::Processed,
        Self::Failed,
        Self::Stopping,
        Self::Stopped,
        Self::Killed,
    ];

    /// Whether a task may change from this state to `next`: the only table of transitions.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        use TaskState::{
            Failed, Initializing, Killed, Processed, Processing, Queued, Stopped, Stopping,
        };
        match self {
            Initializing => matches!(next, Queued | Stopping),
            Queued => matches!(next, Processing | Stopping | Killed),
            // Back to `queued` by a retry, a drain or a lost lease.
            Processing => matches!(next, Queued | Processed | Failed | Stopping | Killed),
            Stopping => matches!(next, Stopped),
            Failed | Killed => matches!(next, Queued | Stopping),
            Processed | Stopped => false,
        }
    }

    /// The states from which a task may change to `next`.
    pub fn before(next: Self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |state| state.can_become(next))
    }

    /// Whether no worker, relay or request works on the task.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Processed | Self::Failed | Self::Stopped | Self::Killed)
    }

    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Processed => "processed",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// The progress of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// How many units are done.
    pub done: u64,
    /// The total number of units, if known.
    pub total: Option<u64>,
    /// What is counted, for example `bytes`.
    pub unit: String,
    /// The current units per second, while a worker is running it.
    pub per_second: Option<f64>,
    /// How many rows of the file were rejected so far; `null` if none were.
    #[serde(default)]
    pub rejected_rows: Option<u64>,
}

/// A task as the API shows it. An absent value is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// The task's id.
    pub task_id: TaskId,
    /// The name of its kind. During an upgrade of the server it may be one that only the other
    /// version knows.
    #[schema(value_type = String, example = "csv_aggregation")]
    pub kind: KindName,
    /// Its state.
    pub state: TaskState,
    /// How many times a worker has claimed it.
    pub attempt: u32,
    /// How many attempts were lost or ended with a transient error.
    pub failures: u32,
    /// After so many failures the task is `failed`.
    pub max_attempts: u32,
    /// Its progress.
    pub progress: Option<Progress>,
    /// Its position among the queued tasks of its kind, from 1; `null` beyond 1,000.
    pub queue_position: Option<u64>,
    /// 1,000 if the position is beyond that.
    pub queue_position_over: Option<u64>,
    /// The name of the input file.
    pub file_name: Option<String>,
    /// The size of the input in bytes.
    pub size: Option<u64>,
    /// When the first byte arrived, UTC.
    pub created_at: DateTime<Utc>,
    /// When it was accepted or last put back in the queue.
    pub queued_at: Option<DateTime<Utc>>,
    /// When a worker first claimed it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Seconds from the first claim to the end, or to `timestamp` if it has not ended.
    #[serde(default)]
    pub duration: Option<f64>,
    /// When the worker that runs it last reported.
    #[serde(default)]
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// The worker that runs it, otherwise the one that ran it last.
    #[serde(default)]
    pub worker: Option<TaskWorker>,
    /// The user it belongs to; shown to administrators only.
    #[serde(default)]
    pub owner: Option<TaskOwner>,
    /// The parameters that its kind takes from clients, including defaults.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"group_by": ["City"], "sum": ["Visits"]}))]
    pub parameters: Option<serde_json::Value>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// The result, by kind.
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// When this answer was created.
    pub timestamp: DateTime<Utc>,
    /// The paths of related resources and actions; `null` if one is not available.
    pub links: TaskLinks,
}

/// A worker, as a task names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskWorker {
    /// One per start of the process.
    pub worker_id: Uuid,
    /// Its name for display; `null` if it was last seen more than a day ago.
    pub name: Option<String>,
}

/// The user that a task belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskOwner {
    /// The user's id.
    pub user_id: Uuid,
    /// The user's name; `null` if the user does not exist any more.
    pub username: Option<String>,
}

/// The paths of a task's parts and actions; `null` if one is not available now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskLinks {
    /// The task itself.
    #[serde(rename = "self")]
    pub this: String,
    /// The result file.
    pub download: Option<String>,
    /// Rows of the result as JSON.
    #[serde(default)]
    pub preview: Option<String>,
    /// The rejected rows.
    pub rejected: Option<String>,
    /// A report that this task adds to.
    pub report: Option<String>,
    /// The task as server-sent events.
    pub events: Option<String>,
    /// The phases of the task.
    #[serde(default)]
    pub timeline: Option<String>,
    /// Stops the task and rolls back its data.
    pub stop: Option<String>,
    /// Ends the task and keeps its data.
    pub kill: Option<String>,
    /// Queues the task again.
    pub resume: Option<String>,
    /// Deletes the task, by the method DELETE.
    #[serde(default)]
    pub delete: Option<String>,
    /// Creates a task with the same file.
    #[serde(default)]
    pub run_again: Option<String>,
}

/// An accepted task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedTask {
    /// The task.
    #[serde(flatten)]
    pub task: TaskView,
    /// Whether an earlier task with the same file is resumed instead of a new one.
    pub resumed: bool,
    /// The first row that the earlier task reads now, from 1; `null` if it starts from the
    /// beginning.
    pub resumed_from_row: Option<u64>,
}

/// A page of tasks, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// The tasks of this page.
    pub items: Vec<TaskView>,
    /// The token of the next page; `null` on the last one.
    pub next_page_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_state() -> impl Strategy<Value = TaskState> {
        proptest::sample::select(TaskState::ALL.to_vec())
    }

    proptest! {
        /// Any sequence of events keeps the invariants of states.
        #[test]
        fn random_transitions_keep_the_state_invariants(wishes in prop::collection::vec(any_state(), 0..60)) {
            let mut state = TaskState::Initializing;
            let mut seen_processing = false;
            let mut seen_stopping = false;
            for next in wishes {
                if !state.can_become(next) {
                    continue;
                }
                if next == TaskState::Processed || next == TaskState::Failed {
                    prop_assert_eq!(state, TaskState::Processing, "only a worker completes a task");
                }
                if next == TaskState::Stopped {
                    prop_assert_eq!(state, TaskState::Stopping, "a rollback comes first");
                }
                prop_assert!(!seen_stopping || next == TaskState::Stopped, "a stop is final");
                prop_assert!(state != TaskState::Processed, "a result is final");
                seen_processing |= next == TaskState::Processing;
                seen_stopping |= next == TaskState::Stopping;
                state = next;
            }
            prop_assert!(seen_processing || !matches!(state, TaskState::Processed | TaskState::Failed));
        }

        #[test]
        fn names_round_trip(state in any_state()) {
            prop_assert_eq!(state.as_str().parse::<TaskState>(), Ok(state));
            prop_assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn only_the_two_final_states_are_dead_ends() {
        for state in TaskState::ALL {
            let dead_end = !TaskState::ALL.into_iter().any(|next| state.can_become(next));
            assert_eq!(
                dead_end,
                matches!(state, TaskState::Processed | TaskState::Stopped),
                "{state}"
            );
        }
    }

    #[test]
    fn interrupts_apply_to_the_documented_states() {
        use TaskState::*;
        let from = |next| TaskState::before(next).collect::<Vec<_>>();
        assert_eq!(from(Stopping), [Initializing, Queued, Processing, Failed, Killed]);
        assert_eq!(from(Killed), [Queued, Processing]);
        assert_eq!(from(Queued), [Initializing, Processing, Failed, Killed]);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "done".parse::<TaskState>().unwrap_err();
        assert!(error.to_string().starts_with("`done` is not one of initializing, queued"));
    }
}
