//! Applies reports, each only if its attempt holds the fence.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::report::{Event, LEASE, Outcome, Report};
use common::task::TaskState;
use serde_json::Value;

use super::store::{self, CompletedTask};
use crate::db::{DbConnection, DbResult, Id};
use crate::kinds::{self, Records};
use crate::live::OwnedTask;
use crate::tasks::Task;
use crate::tasks::attempts::{self, AttemptEnd, AttemptOutcome, EndedAttempt};
use crate::tasks::end::TaskEnd;
use crate::tasks::limits::{MAX_ATTEMPTS, backoff};
use crate::tasks::outbox::{self, Dispatch};
use crate::tasks::store::{self as tasks, Enqueue, Locked};
use crate::tasks::transitions::retry_or_fail;
use crate::tasks::unreadable::Unreadable;

/// The longest delay that a processor may request.
const LONGEST_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The outcomes of reports.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// One outcome for each, in order.
    pub outcomes: Vec<Outcome>,
    /// The tasks that changed visibly.
    pub changed: Vec<OwnedTask>,
    /// The attempts that ended.
    pub ended: Vec<AttemptEnd>,
}

/// The changes of reports, collected so that one statement per table applies all of them.
#[derive(Debug, Default)]
struct Changes {
    renewed: Vec<Id>,
    ended: Vec<EndedAttempt>,
    completed: Vec<CompletedTask>,
    records: Records,
    dispatches: Vec<Dispatch>,
    /// The tasks that changed visibly.
    seen: Vec<OwnedTask>,
    counted: Vec<AttemptEnd>,
}

impl Changes {
    fn write(self, conn: &mut DbConnection, now: NaiveDateTime) -> DbResult<()> {
        store::renew(conn, &self.renewed, now + LEASE)?;
        attempts::add(conn, &self.ended)?;
        store::complete(conn, &self.completed)?;
        self.records.write(conn)?;
        outbox::append(conn, &self.dispatches)
    }
}

/// Applies reports of different tasks, in the caller's transaction, and adds their outcomes.
pub(super) fn apply(
    conn: &mut DbConnection,
    reports: &[Report],
    applied: &mut Applied,
) -> DbResult<()> {
    let ids = tasks::sorted_ids(reports.iter().map(|report| report.task_id));
    let Locked { tasks, unreadable, now } = tasks::find_and_lock(conn, &ids)?;
    let mut changes = Changes::default();
    let outcomes = reports.iter().map(|report| match tasks.get(&report.task_id) {
        None => Ok(without_task(&unreadable, report)),
        Some(task) if task.state != TaskState::Processing || task.attempt != report.attempt => {
            without_fence(conn, task, report)
        }
        Some(task) => with_fence(conn, task, &report.event, &mut changes, now),
    });
    applied.outcomes.extend(outcomes.collect::<DbResult<Vec<_>>>()?);
    applied.changed.append(&mut changes.seen);
    applied.ended.append(&mut changes.counted);
    changes.write(conn, now)
}

/// Applies the report of an attempt that holds the fence.
fn with_fence(
    conn: &mut DbConnection,
    task: &Task,
    event: &Event,
    changes: &mut Changes,
    now: NaiveDateTime,
) -> DbResult<Outcome> {
    let mut ended = |outcome, reason| {
        changes.ended.push(EndedAttempt::of(task, outcome, reason, now));
    };
    let (outcome, task_ended) = match event {
        Event::Heartbeat { progress } => {
            match progress.as_ref().filter(|progress| task.progress.as_ref() != Some(*progress)) {
                Some(progress) => tasks::heartbeat(conn, task, progress, now, now + LEASE)?,
                None => {
                    changes.renewed.push(Id(task.id.0));
                    return Ok(Outcome::Continue);
                }
            }
            changes.seen.push((task.owner, task.id));
            return Ok(Outcome::Continue);
        }
        Event::Completed { result, output } => {
            ended(AttemptOutcome::Completed, None);
            let kind = kinds::of(task.kind());
            let result = kind.complete(conn, task, result, &mut changes.records, now)?;
            changes.completed.push(CompletedTask::of(task, &result, output.as_ref(), now)?);
            (AttemptOutcome::Completed, Some(TaskEnd::of(task, TaskState::Processed, None)))
        }
        Event::Failed { error } => {
            ended(AttemptOutcome::Failed, Some(&error.detail));
            tasks::end(conn, task, TaskState::Failed, now)?;
            let error = error.clone().with_instance(format!("/v1/tasks/{}", task.id));
            tasks::set_error(conn, task, &error, task.failures)?;
            (AttemptOutcome::Failed, Some(TaskEnd::of(task, TaskState::Failed, Some(&error.code))))
        }
        Event::Released { checkpoint } => {
            ended(AttemptOutcome::Released, None);
            let change = Enqueue {
                failures: task.failures,
                exclusive: task.exclusive,
                checkpoint: kinds::of(task.kind()).checkpoint(task, checkpoint.as_ref()),
                progress: task.progress.clone(),
            };
            let error = || failed_too_often("");
            // A busy worker returned an exclusive task: other tasks run first.
            let delay = if task.exclusive { backoff(task.attempt) } else { Duration::ZERO };
            let dispatch = retry_or_fail(conn, task, change, delay, error, now)?;
            changes.dispatches.extend(dispatch);
            (AttemptOutcome::Released, dispatch.is_none().then(|| exhausted(task)))
        }
        Event::Retry { after, checkpoint, reason, waits_for } => {
            ended(AttemptOutcome::Retry, reason.as_deref().or(waits_for.as_deref()));
            let dispatch = retry(conn, task, *after, checkpoint.as_ref(), reason.as_deref(), now)?;
            changes.dispatches.extend(dispatch);
            (AttemptOutcome::Retry, dispatch.is_none().then(|| exhausted(task)))
        }
    };
    changes.counted.push(AttemptEnd::of(task, outcome, task_ended, now));
    changes.seen.push((task.owner, task.id));
    Ok(Outcome::Accepted)
}

/// A retry with a reason is a failure; one without is a delay requested by the processor.
fn retry(
    conn: &mut DbConnection,
    task: &Task,
    after: Option<f64>,
    checkpoint: Option<&Value>,
    reason: Option<&str>,
    now: NaiveDateTime,
) -> DbResult<Option<Dispatch>> {
    let failures = task.failures + u32::from(reason.is_some());
    let delay = match after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(delay) => delay.min(LONGEST_DELAY),
        None => backoff(failures),
    };
    let change = Enqueue {
        failures,
        exclusive: task.exclusive,
        checkpoint: kinds::of(task.kind()).checkpoint(task, checkpoint),
        progress: task.progress.clone(),
    };
    let error = || failed_too_often(reason.unwrap_or_default());
    retry_or_fail(conn, task, change, delay, error, now)
}

/// The end of a task that failed too often.
fn exhausted(task: &Task) -> TaskEnd {
    TaskEnd::of(task, TaskState::Failed, Some(&failed_too_often("").code))
}

fn failed_too_often(reason: &str) -> Problem {
    let detail = format!("The task failed {MAX_ATTEMPTS} times; the last time: {reason}");
    Problem::new(500, "attempts_exhausted", "The task failed too often", detail)
}

/// The answer for a task that is gone or unreadable.
fn without_task(unreadable: &[Unreadable], report: &Report) -> Outcome {
    match unreadable.iter().find(|task| task.id == report.task_id) {
        Some(task) if report.event.is_final() => {
            Outcome::Rejected { problem: Box::new(task.problem()) }
        }
        _ => Outcome::LeaseLost,
    }
}

/// The outcome of a report from an attempt that has lost the fence.
fn without_fence(conn: &mut DbConnection, task: &Task, report: &Report) -> DbResult<Outcome> {
    if report.event.is_final() {
        let ended = attempts::outcome(conn, task.id, report.attempt)?;
        if ended.as_deref() == Some(report.event.name()) {
            return Ok(Outcome::Accepted);
        }
    }
    Ok(attempts::lost_fence(task, report.attempt))
}
