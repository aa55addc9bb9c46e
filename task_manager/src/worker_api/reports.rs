//! Reports: how an attempt is doing, applied only where it holds the fence.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::report::{Event, LEASE, Outcome, Report};
use common::task::{TaskKind, TaskState};
use serde_json::Value;

use crate::db::{DbConnection, DbResult};
use crate::leases::{MAX_ATTEMPTS, backoff, retry_or_fail};
use crate::tasks::Task;
use crate::tasks::store::{self, AttemptOutcome, Enqueue};
use crate::{data_uploads, file_statistics, messages, user_events};

/// No processor may ask for a longer delay.
const LONGEST_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Applies one report, in the caller's transaction.
pub(super) fn apply(
    conn: &mut DbConnection,
    report: &Report,
    now: NaiveDateTime,
) -> DbResult<Outcome> {
    let Some(task) = store::find(conn, report.task_id)? else {
        return Ok(Outcome::LeaseLost);
    };
    if task.state != TaskState::Processing || task.attempt != report.attempt {
        return without_fence(conn, &task, report);
    }
    match &report.event {
        Event::Heartbeat { progress } => {
            store::heartbeat(conn, &task, progress.as_ref(), now, now + LEASE)?;
            return Ok(Outcome::Continue);
        }
        Event::Completed { result, output } => {
            store::end_attempt(conn, &task, AttemptOutcome::Completed, None, now)?;
            store::end(conn, &task, TaskState::Processed, now)?;
            let result = recorded(conn, &task, result, now)?;
            store::set_result(conn, &task, &result, output.as_ref())?;
        }
        Event::Failed { error } => {
            store::end_attempt(conn, &task, AttemptOutcome::Failed, Some(&error.detail), now)?;
            store::end(conn, &task, TaskState::Failed, now)?;
            let error = error.clone().with_instance(format!("/v1/tasks/{}", task.id));
            store::set_error(conn, &task, &error, task.failures)?;
        }
        Event::Released { checkpoint } => {
            store::end_attempt(conn, &task, AttemptOutcome::Released, None, now)?;
            let checkpoint = next_checkpoint(&task, checkpoint.as_ref());
            let change = Enqueue {
                failures: task.failures,
                alone: task.alone,
                checkpoint,
                progress: task.progress.clone(),
            };
            retry_or_fail(conn, &task, change, Duration::ZERO, || failed_too_often(""), now)?;
        }
        Event::Retry { after, checkpoint, reason } => {
            store::end_attempt(conn, &task, AttemptOutcome::Retry, reason.as_deref(), now)?;
            retry(conn, &task, *after, checkpoint.as_ref(), reason.as_deref(), now)?;
        }
    }
    Ok(Outcome::Accepted)
}

/// Keeps what the kind of task keeps of a result, in the caller's transaction; answers the task's
/// result.
fn recorded(
    conn: &mut DbConnection,
    task: &Task,
    result: &Value,
    now: NaiveDateTime,
) -> DbResult<Value> {
    match task.kind() {
        TaskKind::FileStatistics => file_statistics::record(conn, task, result, now),
        TaskKind::DataUpload => data_uploads::result(task, result),
        TaskKind::MessageValidation => messages::track(conn, task, result, now),
        TaskKind::UserEvent => user_events::record(conn, task, result, now),
        TaskKind::CsvAggregation | TaskKind::ReportEmail => Ok(result.clone()),
    }
}

/// A retry with a reason is a failure; one without is a delay that the processor asked for.
fn retry(
    conn: &mut DbConnection,
    task: &Task,
    after: Option<f64>,
    checkpoint: Option<&Value>,
    reason: Option<&str>,
    now: NaiveDateTime,
) -> DbResult<()> {
    let failures = task.failures + u32::from(reason.is_some());
    let delay = match after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(delay) => delay.min(LONGEST_DELAY),
        None => backoff(failures),
    };
    let change = Enqueue {
        failures,
        alone: task.alone,
        checkpoint: next_checkpoint(task, checkpoint),
        progress: task.progress.clone(),
    };
    let error = || failed_too_often(reason.unwrap_or_default());
    retry_or_fail(conn, task, change, delay, error, now)
}

fn failed_too_often(reason: &str) -> Problem {
    let detail = format!("The task failed {MAX_ATTEMPTS} times; the last time: {reason}");
    Problem::new(500, "attempts_exhausted", "The task failed too often", detail)
}

/// Where the next attempt goes on: as reported, but a load goes on where its rows end.
fn next_checkpoint(task: &Task, reported: Option<&Value>) -> Option<Value> {
    let reported = reported.filter(|_| task.kind() != TaskKind::DataUpload);
    reported.or(task.checkpoint.as_ref()).cloned()
}

/// What to tell a worker whose attempt is not the running one.
fn without_fence(conn: &mut DbConnection, task: &Task, report: &Report) -> DbResult<Outcome> {
    if report.event.is_final() {
        let ended = store::attempt_outcome(conn, task.id, report.attempt)?;
        if ended.as_deref() == Some(report.event.name()) {
            return Ok(Outcome::Accepted);
        }
    }
    Ok(lost_fence(task, report.attempt))
}

/// Why an attempt that is not the running one is to end.
pub fn lost_fence(task: &Task, attempt: u32) -> Outcome {
    let is_latest = task.attempt == attempt;
    match task.state {
        TaskState::Stopping | TaskState::Stopped if is_latest => Outcome::Stop,
        TaskState::Killed if is_latest => Outcome::Kill,
        _ => Outcome::LeaseLost,
    }
}
