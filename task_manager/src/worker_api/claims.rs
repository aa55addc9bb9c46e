//! Claims: a worker takes a task that the queue told it of.

use chrono::NaiveDateTime;
use common::report::{Attempt, Claim, ClaimedDelivery, LEASE, WorkerId};
use common::task::TaskState;

use crate::db::{DbConnection, DbResult};
use crate::tasks::{Task, store};

/// Claims one delivery, in the caller's transaction.
pub(super) fn claim(
    conn: &mut DbConnection,
    worker: WorkerId,
    delivery: ClaimedDelivery,
    now: NaiveDateTime,
) -> DbResult<Claim> {
    let ClaimedDelivery { task_id, dispatch } = delivery;
    let claimed = store::claim(conn, task_id, dispatch, worker, now, now + LEASE)?;
    let refused = |refused: String| Ok(Claim::Refused { task_id, refused });
    let Some(task) = store::find(conn, task_id)? else {
        return refused("there is no such task".to_owned());
    };
    let is_repeated = task.state == TaskState::Processing
        && task.worker == Some(worker)
        && task.dispatch == dispatch;
    if claimed || is_repeated {
        Ok(Claim::Attempt(Box::new(attempt(task))))
    } else if task.dispatch != dispatch {
        refused(format!("it was put in the queue {} times by now", task.dispatch))
    } else {
        refused(format!("it is {}", task.state))
    }
}

fn attempt(task: Task) -> Attempt {
    Attempt {
        task_id: task.id,
        attempt: task.attempt,
        lease: LEASE.as_secs(),
        spec: task.spec,
        input: task.input,
        checkpoint: task.checkpoint,
        alone: task.alone,
    }
}
