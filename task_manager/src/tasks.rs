//! Tasks as the task manager keeps them, and how they look to a client.
//!
//! # Invariants
//! - A state changes only by compare-and-swap, along `TaskState::can_become`.
//! - `attempt` is the fence: only a claim raises it, nothing lowers it.
//! - Everything asked on behalf of a user is filtered by owner.

pub mod attempts;
pub mod file_names;
pub mod interrupts;
pub mod limits;
pub mod outbox;
pub mod store;
pub mod submissions;
pub mod transitions;
pub mod unreadable;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::problem::Problem;
use common::report::{InputFile, Output, WorkerId};
use common::task::spec::TaskSpec;
use common::task::{Progress, TaskId, TaskKind, TaskLinks, TaskState, TaskView, UserId};
use common::{clock, file_statistics, user_event};
use serde_json::Value;

use self::unreadable::ReadTask;
use crate::data_uploads;
use crate::db::{DbConnection, DbError, DbResult};

/// Beyond this place the position in the queue is not counted.
pub const MAX_QUEUE_POSITION: u64 = 1_000;

/// A task, read from its row.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: TaskId,
    pub owner: UserId,
    pub state: TaskState,
    pub spec: TaskSpec,
    /// How often a worker took it; the fence of every report.
    pub attempt: u32,
    /// How often it was put in the queue.
    pub dispatch: u32,
    pub failures: u32,
    /// To be run with nothing beside it, since an attempt lost its worker.
    pub alone: bool,
    pub worker: Option<WorkerId>,
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

    /// The first row that an attempt reads which goes on from the checkpoint; none where the kind
    /// does not read rows, or reads them from the start.
    pub fn resumes_from_row(&self) -> Option<u64> {
        self.checkpoint.as_ref()?.get("row")?.as_u64()?.checked_add(1)
    }

    /// What the client sees; `queue_position` is its place from 1, where it was counted.
    pub fn view(self, queue_position: Option<u64>) -> TaskView {
        let queued = self.state == TaskState::Queued;
        let links = self.links();
        let result_so_far = data_uploads::result_so_far(&self);
        TaskView {
            task_id: self.id,
            kind: self.kind().into(),
            state: self.state,
            attempt: self.attempt,
            failures: self.failures,
            max_attempts: limits::MAX_ATTEMPTS,
            progress: self.progress,
            queue_position,
            queue_position_over: (queued && queue_position.is_none()).then_some(MAX_QUEUE_POSITION),
            size: self.input.as_ref().map(|input| input.size),
            file_name: self.input.map(|input| input.file_name),
            created_at: self.created_at.and_utc(),
            queued_at: utc(self.queued_at),
            started_at: utc(self.started_at),
            finished_at: utc(self.finished_at),
            error: self.error,
            result: self.result.or(result_so_far),
            timestamp: clock::now(),
            links,
        }
    }

    fn links(&self) -> TaskLinks {
        let id = self.id;
        let ready = self.state == TaskState::Processed && !self.files_removed;
        let output = self.output.as_ref().filter(|_| ready);
        let action = |verb: &str, next: TaskState| {
            self.state.can_become(next).then(|| format!("/v1/tasks/{id}/{verb}"))
        };
        let is_interrupted = matches!(self.state, TaskState::Killed | TaskState::Failed);
        TaskLinks {
            this: format!("/v1/tasks/{id}"),
            download: output.map(|_| format!("/v1/data_processor/download/{id}")),
            rejected: output
                .filter(|output| output.has_rejected)
                .map(|_| format!("/v1/data_processor/rejected/{id}"))
                .or_else(|| data_uploads::rejected_link(self)),
            report: report(self.kind()).map(str::to_owned),
            events: Some(format!("/v1/tasks/{id}/events")),
            stop: action("stop", TaskState::Stopping),
            kill: action("kill", TaskState::Killed),
            resume: action("resume", TaskState::Queued)
                .filter(|_| is_interrupted && !self.files_removed),
        }
    }
}

/// The report that tasks of a kind add to.
fn report(kind: TaskKind) -> Option<&'static str> {
    match kind {
        TaskKind::FileStatistics => Some(file_statistics::REPORT),
        TaskKind::UserEvent => Some(user_event::REPORT),
        TaskKind::CsvAggregation
        | TaskKind::DataUpload
        | TaskKind::MessageValidation
        | TaskKind::ReportEmail => None,
    }
}

fn utc(time: Option<NaiveDateTime>) -> Option<DateTime<Utc>> {
    time.map(|time| time.and_utc())
}

/// The views of `tasks`, with their places in the queues. Those of which not even the state is known have
/// none.
pub fn views(conn: &mut DbConnection, tasks: Vec<ReadTask>) -> DbResult<Vec<TaskView>> {
    let mut places: HashMap<TaskKind, HashMap<TaskId, u64>> = HashMap::new();
    let mut views = Vec::with_capacity(tasks.len());
    for task in tasks {
        let task = match task {
            Ok(task) => task,
            Err(unreadable) => {
                views.extend(unreadable.view());
                continue;
            }
        };
        let place = match task.state {
            TaskState::Queued => {
                let places = match places.entry(task.kind()) {
                    Entry::Occupied(places) => places.into_mut(),
                    Entry::Vacant(places) => {
                        let first = store::first_in_queue(conn, task.kind(), MAX_QUEUE_POSITION)?;
                        places.insert(first.into_iter().zip(1..).collect())
                    }
                };
                places.get(&task.id).copied()
            }
            _ => None,
        };
        views.push(task.view(place));
    }
    Ok(views)
}

/// The view of one task, with its place in the queue.
pub fn view(conn: &mut DbConnection, task: Task) -> DbResult<TaskView> {
    let place = match task.state {
        TaskState::Queued => store::queue_position(conn, &task, MAX_QUEUE_POSITION)?,
        _ => None,
    };
    Ok(task.view(place))
}

/// The view of one task, readable or not.
///
/// # Errors
/// [`DbError::UnreadableTask`], where not even its state is known.
pub fn view_any(conn: &mut DbConnection, task: ReadTask) -> DbResult<TaskView> {
    match task {
        Ok(task) => view(conn, task),
        Err(unreadable) => {
            let detail = unreadable.detail();
            unreadable.view().ok_or(DbError::UnreadableTask(detail))
        }
    }
}
