//! Claims: a worker takes tasks that the queue told it of.

use std::collections::HashSet;

use common::report::{Attempt, Claim, ClaimedDelivery, LEASE, WorkerId};
use common::task::TaskState;

use crate::db::{DbConnection, DbResult, Id};
use crate::tasks::Task;
use crate::tasks::store::{self, Locked};
use crate::tasks::unreadable::Unreadable;

/// Claims deliveries, in the caller's transaction; answers one claim for each, in order. However
/// many there are, it takes the same few statements.
pub(super) fn claim(
    conn: &mut DbConnection,
    worker: WorkerId,
    deliveries: &[ClaimedDelivery],
) -> DbResult<Vec<Claim>> {
    let ids: Vec<Id> = super::sorted(deliveries.iter().map(|delivery| delivery.task_id));
    let Locked { mut tasks, unreadable, now } = store::find_and_lock(conn, &ids)?;
    let asked: HashSet<ClaimedDelivery> = deliveries.iter().copied().collect();
    let mut free: Vec<&mut Task> = tasks
        .values_mut()
        .filter(|task| {
            let latest = ClaimedDelivery { task_id: task.id, dispatch: task.dispatch };
            task.state == TaskState::Queued && asked.contains(&latest)
        })
        .collect();
    store::claim(conn, &mut free, worker, now, now + LEASE)?;
    let claim = |delivery: &ClaimedDelivery| {
        let is_it = |task: &&Unreadable| task.id == delivery.task_id;
        match unreadable.iter().find(is_it) {
            Some(task) => Claim::Refused { task_id: task.id, refused: task.detail() },
            None => answer(worker, *delivery, tasks.get(&delivery.task_id)),
        }
    };
    Ok(deliveries.iter().map(claim).collect())
}

/// What to say to a delivery whose task was claimed where it could be. A task that the worker has
/// for this dispatch is its own, whether since now or since an earlier claim.
fn answer(worker: WorkerId, delivery: ClaimedDelivery, task: Option<&Task>) -> Claim {
    let ClaimedDelivery { task_id, dispatch } = delivery;
    let refused = |refused: String| Claim::Refused { task_id, refused };
    match task {
        None => refused("there is no such task".to_owned()),
        Some(task) if task.dispatch != dispatch => {
            refused(format!("it was put in the queue {} times by now", task.dispatch))
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
        alone: task.alone,
    }
}
