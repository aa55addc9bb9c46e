//! Reports of workers about their attempts, in batches.
//!
//! # Invariants
//! - A report is applied only if its attempt is the task's latest and the task is `processing`, in
//!   the transaction that writes its data.
//! - A batch locks its tasks in the order of their ids and commits as one; on a data error it is
//!   retried report by report.

mod apply;
mod store;

use std::collections::HashSet;
use std::time::SystemTime;

use common::clock;
use common::problem::Problem;
use common::report::{Event, Outcome, Report, ReportRequest, ReportResponse};
use common::storage::Storage;
use tracing::{Instrument, warn};

use self::apply::Applied;
use super::sweep;
use crate::db::{self, Database, DbConnection, DbError, DbResult};
use crate::dispatch::relay::{self, RelaySignal};
use crate::live::{Changes, Unpublished};
use crate::tasks::store::sorted_ids;
use crate::workers;
use crate::workers::last_seen::LastSeen;

/// Applies a worker's reports.
pub async fn report(
    db: &Database,
    storage: &Storage,
    relay: &RelaySignal,
    seen: &LastSeen,
    changes: &Changes,
    request: ReportRequest,
) -> DbResult<ReportResponse> {
    let received = SystemTime::from(clock::now());
    let ReportRequest { worker, reports } = request;
    let heartbeat = seen.due(&worker);
    let is_due = heartbeat.is_some();
    let applying = {
        let (reports, changes) = (reports.clone(), changes.clone());
        db.write(move |conn| {
            if is_due {
                workers::store::note_seen(conn, &worker)?;
            }
            apply_batch(conn, &reports, &changes)
        })
    };
    let applied = applying.await;
    if let (Ok(_), Some(heartbeat)) = (&applied, heartbeat) {
        seen.note(heartbeat);
    }
    let outcomes = match applied {
        Err(error) if !error.is_unavailable() && !reports.is_empty() => {
            warn!(%error, "a batch of reports failed and is applied one by one");
            apply_one_by_one(db, &reports, changes, received).await?
        }
        applied => note(applied?, changes, received),
    };
    if reports.iter().any(|report| is_due_soon(&report.event)) {
        relay.wake();
    }
    delete_unaccepted(db, storage, &reports, &outcomes);
    Ok(ReportResponse { outcomes })
}

/// Whether the task may be due before the relay's next poll.
fn is_due_soon(event: &Event) -> bool {
    match event {
        Event::Heartbeat { .. } | Event::Completed { .. } | Event::Failed { .. } => false,
        Event::Retry { after, .. } => after.is_none_or(|after| after < relay::POLL.as_secs_f64()),
        Event::Released { .. } => true,
    }
}

/// Publishes and counts what a committed batch has changed; returns its outcomes.
fn note(
    (applied, unpublished): (Applied, Unpublished),
    changes: &Changes,
    received: SystemTime,
) -> Vec<Outcome> {
    changes.publish(unpublished);
    for end in applied.ended {
        end.trace_report(received);
        end.count();
    }
    applied.outcomes
}

/// Applies reports, and reads the changes to publish.
fn apply_batch(
    conn: &mut DbConnection,
    batch: &[Report],
    changes: &Changes,
) -> DbResult<(Applied, Unpublished)> {
    let mut applied = Applied::default();
    let mut rest = batch;
    while !rest.is_empty() {
        // A second report of a task must see the effect of the first one.
        let mut seen = HashSet::new();
        let once = rest.iter().take_while(|report| seen.insert(report.task_id)).count();
        if once < rest.len() {
            db::lock_tasks(conn, &sorted_ids(rest.iter().map(|report| report.task_id)))?;
        }
        let (reports, others) = rest.split_at(once);
        apply::apply(conn, reports, &mut applied)?;
        rest = others;
    }
    let unpublished = changes.read(conn, &applied.changed)?;
    Ok((applied, unpublished))
}

async fn apply_one_by_one(
    db: &Database,
    reports: &[Report],
    changes: &Changes,
    received: SystemTime,
) -> DbResult<Vec<Outcome>> {
    let mut all = Vec::with_capacity(reports.len());
    for report in reports {
        let applying = {
            let (single, changes) = ([report.clone()], changes.clone());
            db.write(move |conn| apply_batch(conn, &single, &changes))
        };
        match applying.await {
            Ok(applied) => all.extend(note(applied, changes, received)),
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                warn!(task_id = %report.task_id, attempt = report.attempt, %error, "report rejected");
                all.push(Outcome::Rejected { problem: Box::new(rejection(&error)) });
            }
        }
    }
    Ok(all)
}

fn rejection(error: &DbError) -> Problem {
    let detail = format!("The report could not be recorded: {error}");
    Problem::new(422, "report_rejected", "Invalid report", detail)
}

/// Deletes the outputs of attempts that were not accepted; if that fails, the sweep does it. The
/// database decides whether one was accepted: a late repeat of a report is also answered with a
/// lost lease.
fn delete_unaccepted(db: &Database, storage: &Storage, reports: &[Report], outcomes: &[Outcome]) {
    for (report, outcome) in reports.iter().zip(outcomes) {
        let lost = matches!(outcome, Outcome::Stop | Outcome::Kill | Outcome::LeaseLost);
        if report.event.is_final() && lost {
            let (db, storage) = (db.clone(), storage.clone());
            let (task_id, attempt) = (report.task_id, report.attempt);
            let span = tracing::info_span!("delete_unaccepted", %task_id, attempt);
            let delete = async move {
                if let Err(error) = sweep::remove_unwanted(&db, &storage, task_id, attempt).await {
                    warn!(%error, "cannot delete the files of an attempt, the sweep will");
                }
            };
            tokio::spawn(delete.instrument(span));
        }
    }
}
