//! Rows of `tasks` that this version cannot read.
//!
//! # Invariants
//! - Such a row affects nothing but itself: rows are read one by one.
//! - A task whose kind or state this version does not know belongs to another version. It is
//!   skipped: not published, claimed, expired or removed.
//! - Any other unreadable row is broken. Its task ends as `failed` the first time that any
//!   transaction locks it (`store::find_and_lock`).
//! - Each one is logged once per process.

use chrono::NaiveDateTime;
use common::clock;
use common::problem::Problem;
use common::task::{KindName, TaskId, TaskLinks, TaskState, TaskView, UserId};
use tracing::warn;

use super::{Task, limits, store, utc};
use crate::db::{Database, DbConnection, DbResult, Id};
use crate::log_once;

/// The code of the problem of a task that cannot be read.
pub const CODE: &str = "unreadable_task";

/// The result of reading a task's row.
pub type ReadTask = Result<Task, Box<Unreadable>>;

/// The broken tasks that have not ended.
pub fn broken(tasks: &[ReadTask]) -> Vec<Id> {
    let unreadable = tasks.iter().filter_map(|task| task.as_ref().err());
    unreadable.filter(|task| task.fails_from().is_some()).map(|task| Id(task.id.0)).collect()
}

/// The result of `read` after the broken tasks that it found have failed: without this, one would
/// stay unchanged until a worker claims it.
pub async fn read_settled<T, F>(db: &Database, read: F) -> DbResult<T>
where
    T: Send + 'static,
    F: Fn(&mut DbConnection) -> DbResult<(T, Vec<Id>)> + Clone + Send + 'static,
{
    let (seen, broken) = db.read(read.clone()).await?;
    if broken.is_empty() {
        return Ok(seen);
    }
    db.write(move |conn| store::find_and_lock(conn, &broken).map(drop)).await?;
    let (seen, _) = db.read(read).await?;
    Ok(seen)
}

/// The part of a task that is readable in any row.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub id: TaskId,
    pub owner: UserId,
    pub kind: KindName,
    /// None for a state that this version does not know.
    pub state: Option<TaskState>,
    /// As stored.
    pub attempt: i32,
    /// As stored.
    pub failures: i32,
    pub file_name: Option<String>,
    pub size: Option<i64>,
    pub created_at: NaiveDateTime,
    pub changed_at: NaiveDateTime,
    pub queued_at: Option<NaiveDateTime>,
    pub started_at: Option<NaiveDateTime>,
    pub finished_at: Option<NaiveDateTime>,
    /// What is unreadable.
    pub reason: String,
}

impl Unreadable {
    /// Whether another version may understand it.
    pub fn is_foreign(&self) -> bool {
        self.kind.known().is_none() || self.state.is_none()
    }

    /// The state from which a broken task fails; none for one that has ended or belongs to another
    /// version.
    pub fn fails_from(&self) -> Option<TaskState> {
        self.state.filter(|state| !self.is_foreign() && !state.is_ended())
    }

    /// The problem and what to do, in words for its owner.
    pub fn detail(&self) -> String {
        let reason = &self.reason;
        let version = env!("CARGO_PKG_VERSION");
        if self.is_foreign() {
            format!(
                "{reason}, which version {version} of the task manager does not know. The task is left \
                 to a version that does; it can be deleted while nothing works on it."
            )
        } else {
            format!(
                "Version {version} of the task manager cannot read the task: {reason}. If a later \
                 version stored it, update the task manager and resume the task; otherwise delete the \
                 task and send the request again."
            )
        }
    }

    /// Why the task fails.
    pub fn problem(&self) -> Problem {
        Problem::new(500, CODE, "The task cannot be read", self.detail())
            .with_instance(format!("/v1/tasks/{}", self.id))
    }

    /// Logs it, once for each task.
    pub fn log(&self) {
        let Self { id, kind, .. } = self;
        if log_once::is_first(format!("task {id}")) {
            let detail = self.detail();
            warn!(task_id = %id, %kind, "a task cannot be read: {detail}");
        }
    }

    /// The view for clients; none if the state is unreadable.
    pub fn view(self) -> Option<TaskView> {
        let state = self.state?;
        let error = (!self.is_foreign()).then(|| self.problem());
        Some(TaskView {
            task_id: self.id,
            kind: self.kind,
            state,
            attempt: u32::try_from(self.attempt).unwrap_or_default(),
            failures: u32::try_from(self.failures).unwrap_or_default(),
            max_attempts: limits::MAX_ATTEMPTS,
            progress: None,
            queue_position: None,
            queue_position_over: None,
            file_name: self.file_name,
            size: self.size.and_then(|size| u64::try_from(size).ok()),
            created_at: self.created_at.and_utc(),
            queued_at: utc(self.queued_at),
            started_at: utc(self.started_at),
            finished_at: utc(self.finished_at),
            duration: None,
            heartbeat_at: None,
            worker: None,
            owner: None,
            parameters: None,
            error,
            result: None,
            timestamp: clock::now(),
            links: TaskLinks {
                this: format!("/v1/tasks/{}", self.id),
                download: None,
                preview: None,
                rejected: None,
                report: None,
                events: Some(format!("/v1/tasks/{}/events", self.id)),
                timeline: None,
                stop: None,
                kill: None,
                resume: None,
                delete: Some(format!("/v1/tasks/{}", self.id)),
                run_again: None,
            },
        })
    }
}
