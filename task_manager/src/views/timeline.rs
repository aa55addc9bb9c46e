//! The history of a task as phases: upload, waits in the queue, attempts, rollback.
//!
//! # Invariants
//! - A phase is shown only if its start is known; nothing is guessed. What an older version did not
//!   record, and the attempts that retention removed with the files, are missing.
//! - While a task is killed or failed, no phase is in progress.

use chrono::{DateTime, NaiveDateTime, Utc};
use common::clock;
use common::report::WorkerId;
use common::task::{TaskId, TaskState, TaskWorker};
use serde::Serialize;
use utoipa::ToSchema;

use super::{WorkerNames, worker_names, worker_view};
use crate::db::{DbConnection, DbResult};
use crate::tasks::attempts::{self, AttemptOutcome, PastAttempt};
use crate::tasks::store::{self, PhaseTimes};
use crate::tasks::{Task, utc};

/// Of more attempts than this, the latest are shown.
const MAX_ATTEMPTS: i64 = 1_000;

/// The phases of a task, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    task_id: TaskId,
    /// When this answer was created.
    timestamp: DateTime<Utc>,
    /// When the worker of the running attempt last reported.
    heartbeat_at: Option<DateTime<Utc>>,
    /// The phases, in order.
    phases: Vec<Phase>,
}

/// The kind of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// The file is received.
    Initializing,
    /// The task waits for a worker.
    Queued,
    /// A worker runs the task.
    Attempt,
    /// The data of the task is rolled back.
    Stopping,
}

/// A phase of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct Phase {
    phase: PhaseName,
    /// The number of the attempt, from 1; `null` in other phases.
    attempt: Option<u32>,
    /// The worker of the attempt.
    worker: Option<TaskWorker>,
    /// When it began.
    from: DateTime<Utc>,
    /// When it ended; `null` while it is in progress.
    to: Option<DateTime<Utc>>,
    /// How it ended; `null` for an upload that is complete, or a wait that a claim ended.
    outcome: Option<AttemptOutcome>,
    /// Why it ended so, if that is known.
    reason: Option<String>,
}

impl Phase {
    fn of(phase: PhaseName, from: NaiveDateTime, to: Option<NaiveDateTime>) -> Self {
        Self {
            phase,
            attempt: None,
            worker: None,
            from: from.and_utc(),
            to: utc(to),
            outcome: None,
            reason: None,
        }
    }
}

/// The timeline of a task.
pub fn timeline(conn: &mut DbConnection, task: &Task) -> DbResult<Timeline> {
    let past = attempts::latest(conn, task.id, MAX_ATTEMPTS)?;
    let times = store::phase_times(conn, task.id)?;
    let workers = past.iter().map(|attempt| attempt.worker).chain([task.worker]);
    let names = worker_names(conn, workers)?;
    Ok(Timeline {
        task_id: task.id,
        timestamp: clock::now(),
        heartbeat_at: utc(task.heartbeat_at()),
        phases: phases(task, times, past, &names),
    })
}

fn phases(
    task: &Task,
    times: PhaseTimes,
    past: Vec<PastAttempt>,
    names: &WorkerNames,
) -> Vec<Phase> {
    let worker = |id: Option<WorkerId>| id.map(|id| worker_view(id, names));
    let mut phases: Vec<Phase> = upload(task, times, past.first()).into_iter().collect();
    let last_ended = past.last().map_or(0, |attempt| attempt.attempt);
    for attempt in past {
        let started_at = attempt.started_at.unwrap_or(attempt.ended_at);
        let wait = |from| Phase::of(PhaseName::Queued, from, Some(started_at));
        phases.extend(attempt.queued_at.map(wait));
        phases.push(Phase {
            attempt: Some(attempt.attempt),
            worker: worker(attempt.worker),
            outcome: attempt.outcome,
            reason: attempt.reason,
            ..Phase::of(PhaseName::Attempt, started_at, Some(attempt.ended_at))
        });
    }
    match (task.queued_at, task.attempt_started_at) {
        // A claim sets the second time; queueing the task again removes it.
        (Some(queued_at), None) => {
            let (to, outcome) = end(task, times);
            phases.push(Phase { outcome, ..Phase::of(PhaseName::Queued, queued_at, to) });
        }
        (queued_at, Some(started_at)) if task.attempt > last_ended && !is_stopped(task) => {
            phases.extend(queued_at.map(|at| Phase::of(PhaseName::Queued, at, Some(started_at))));
            let (to, outcome) = end(task, times);
            phases.push(Phase {
                attempt: Some(task.attempt),
                worker: worker(task.worker),
                outcome,
                reason: task.error.as_ref().map(|error| error.detail.clone()),
                ..Phase::of(PhaseName::Attempt, started_at, to)
            });
        }
        _ => {}
    }
    if let Some(stopping_at) = times.stopping_at {
        phases.push(Phase {
            outcome: task.finished_at.map(|_| AttemptOutcome::Stopped),
            ..Phase::of(PhaseName::Stopping, stopping_at, task.finished_at)
        });
    }
    phases
}

/// The upload of a task's file. An older version recorded its end only as the first time in the
/// queue.
fn upload(task: &Task, times: PhaseTimes, first: Option<&PastAttempt>) -> Option<Phase> {
    task.input.as_ref()?;
    let phase = |to| Phase::of(PhaseName::Initializing, task.created_at, to);
    let first_queued = match first.filter(|attempt| attempt.attempt == 1) {
        Some(first) => first.queued_at,
        None => task.queued_at.filter(|_| task.dispatch == 1),
    };
    if let Some(received_at) = times.received_at.or(first_queued) {
        return Some(phase(Some(received_at)));
    }
    let (to, outcome) = end(task, times);
    task.queued_at.is_none().then(|| Phase { outcome, ..phase(to) })
}

fn is_stopped(task: &Task) -> bool {
    matches!(task.state, TaskState::Stopping | TaskState::Stopped)
}

/// How the latest phase before a rollback ended; nothing while it is in progress.
fn end(task: &Task, times: PhaseTimes) -> (Option<NaiveDateTime>, Option<AttemptOutcome>) {
    match task.state {
        TaskState::Initializing | TaskState::Queued | TaskState::Processing => (None, None),
        TaskState::Processed => (task.finished_at, Some(AttemptOutcome::Completed)),
        TaskState::Failed => (task.finished_at, Some(AttemptOutcome::Failed)),
        TaskState::Killed => (task.finished_at, Some(AttemptOutcome::Killed)),
        TaskState::Stopping | TaskState::Stopped => {
            (times.stopping_at, Some(AttemptOutcome::Stopped))
        }
    }
}
