//! Claims: a worker takes the tasks whose messages it received.
//!
//! # Invariants
//! - A claim raises `attempt` by compare-and-swap; one repeated by the same worker for the same
//!   dispatch gets the same attempt.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use common::report::{
    Attempt, Claim, ClaimRequest, ClaimResponse, ClaimedDelivery, LEASE, WorkerId,
};
use common::task::{TaskId, TaskKind, TaskState};
use common::traces;
use tracing::debug;

use crate::db::{Database, DbConnection, DbResult, Id};
use crate::metrics::metrics;
use crate::tasks::Task;
use crate::tasks::store::{self, Locked};
use crate::tasks::unreadable::Unreadable;

/// Handles a worker's claims.
pub async fn claim(db: &Database, request: ClaimRequest) -> DbResult<ClaimResponse> {
    let claiming = db.write(move |conn| claim_all(conn, request.worker, &request.deliveries));
    let (claims, claimed) = claiming.await?;
    claimed.into_iter().for_each(Claimed::count);
    for claim in &claims {
        match claim {
            Claim::Attempt(attempt) => {
                debug!(task_id = %attempt.task_id, attempt = attempt.attempt, "claimed");
            }
            Claim::Refused { task_id, refused } => debug!(%task_id, "claim refused: {refused}"),
        }
    }
    Ok(ClaimResponse { claims })
}

/// A task that was claimed, to be counted and traced after the commit.
struct Claimed {
    task_id: TaskId,
    kind: TaskKind,
    attempt: u32,
    dispatch: u32,
    queued_at: NaiveDateTime,
    claimed_at: NaiveDateTime,
}

impl Claimed {
    /// The next attempt of a task that is queued.
    fn next_of(task: &Task, claimed_at: NaiveDateTime) -> Self {
        Self {
            task_id: task.id,
            kind: task.kind(),
            attempt: task.attempt + 1,
            dispatch: task.dispatch,
            queued_at: task.queued_at.unwrap_or(claimed_at),
            claimed_at,
        }
    }

    fn count(self) {
        let waited = (self.claimed_at - self.queued_at).to_std().unwrap_or_default();
        metrics().task_claimed(self.kind, waited);
        let times = self.queued_at.and_utc().into()..self.claimed_at.and_utc().into();
        if let Some(span) = traces::span(self.task_id, "queued", times) {
            span.attribute("task.kind", self.kind.as_str())
                .count("task.attempt", self.attempt.into())
                .count("task.dispatch", self.dispatch.into())
                .record();
        }
    }
}

/// Claims deliveries, in the caller's transaction; returns one claim for each, in order, and the
/// claimed tasks. The number of statements does not depend on that of deliveries.
fn claim_all(
    conn: &mut DbConnection,
    worker: WorkerId,
    deliveries: &[ClaimedDelivery],
) -> DbResult<(Vec<Claim>, Vec<Claimed>)> {
    let ids: Vec<Id> = store::sorted_ids(deliveries.iter().map(|delivery| delivery.task_id));
    let Locked { mut tasks, unreadable, now } = store::find_and_lock(conn, &ids)?;
    let asked: HashSet<ClaimedDelivery> = deliveries.iter().copied().collect();
    let mut free: Vec<&mut Task> = tasks
        .values_mut()
        .filter(|task| {
            let latest = ClaimedDelivery { task_id: task.id, dispatch: task.dispatch };
            task.state == TaskState::Queued && asked.contains(&latest)
        })
        .collect();
    let claimed = free.iter().map(|task| Claimed::next_of(task, now)).collect();
    store::claim(conn, &mut free, worker, now, now + LEASE)?;
    let claim = |delivery: &ClaimedDelivery| {
        let is_it = |task: &&Unreadable| task.id == delivery.task_id;
        match unreadable.iter().find(is_it) {
            Some(task) => Claim::Refused { task_id: task.id, refused: task.detail() },
            None => answer(worker, *delivery, tasks.get(&delivery.task_id)),
        }
    };
    Ok((deliveries.iter().map(claim).collect(), claimed))
}

/// The answer to a delivery, after its task was claimed if possible. A task that the worker has for
/// this dispatch is granted, whether it was claimed now or earlier.
fn answer(worker: WorkerId, delivery: ClaimedDelivery, task: Option<&Task>) -> Claim {
    let ClaimedDelivery { task_id, dispatch } = delivery;
    let refused = |refused: String| Claim::Refused { task_id, refused };
    match task {
        None => refused("the task does not exist".to_owned()),
        Some(task) if task.dispatch != dispatch => {
            refused(format!("it was queued again: its dispatch is now {}", task.dispatch))
        }
        Some(task) if task.state == TaskState::Processing && task.worker == Some(worker) => {
            Claim::Attempt(Box::new(attempt(task)))
        }
        Some(task) => refused(format!("it is {}", task.state)),
    }
}

fn attempt(task: &Task) -> Attempt {
    Attempt {
        task_id: task.id,
        attempt: task.attempt,
        lease: LEASE.as_secs(),
        spec: task.spec.clone(),
        input: task.input.clone(),
        checkpoint: task.checkpoint.clone(),
        exclusive: task.exclusive,
    }
}
