//! Loads batches of rows from workers: each one must start at the stored checkpoint.

use std::sync::Arc;
use std::time::Duration;

use common::problem::ErrorLocation;
use common::report::{LEASE, Outcome, RowBatch, RowsAnswer};
use common::task::spec::{OnBadRow, TaskSpec};
use common::task::{TaskId, TaskState};
use tokio::time::{Instant, timeout_at};

use super::task_locks::TaskLocks;
use super::{batch, checkpoint, store};
use crate::db::{Database, DbConnection, DbResult};
use crate::error::Error;
use crate::tasks::{attempts, store as tasks};

/// How long a batch waits for the one before it.
const WAIT: Duration = Duration::from_secs(1);
/// How often to poll whether another task manager has loaded the one before it.
const POLL: Duration = Duration::from_millis(100);

/// Loads the rows of files. Clones share everything.
#[derive(Debug, Clone)]
pub struct Loads {
    db: Database,
    locks: TaskLocks,
}

impl Loads {
    pub fn new(db: Database) -> Self {
        Self { db, locks: TaskLocks::default() }
    }

    /// Loads a batch of the task `id`, or returns why not. A batch that arrives early waits a
    /// second for its predecessors.
    pub async fn receive(&self, id: TaskId, batch: RowBatch) -> Result<RowsAnswer, Error> {
        batch::check(&batch)?;
        let batch = Arc::new(batch);
        let lock = self.locks.of(id);
        let deadline = Instant::now() + WAIT;
        loop {
            // Subscribed before the check, so that a batch committed in between is not missed.
            let mut advanced = std::pin::pin!(lock.advanced.notified());
            advanced.as_mut().enable();
            let applied = {
                let _one_at_a_time = lock.writing.lock().await;
                let batch = Arc::clone(&batch);
                self.db.write(move |conn| apply(conn, id, &batch)).await?
            };
            match applied {
                Applied::Answer(answer) => {
                    lock.advanced.notify_waiters();
                    return Ok(answer);
                }
                Applied::TooEarly { stored } if Instant::now() >= deadline => {
                    return Err(Error::OutOfOrder {
                        stored,
                        from: batch::position(&batch.from).row,
                    });
                }
                // A timeout is no error: the next iteration checks again.
                Applied::TooEarly { .. } => {
                    let _ = timeout_at(deadline.min(Instant::now() + POLL), advanced).await;
                }
                Applied::DoesNotFit(error) => return Err(Error::InvalidParameters(vec![error])),
                Applied::OtherKind => return Err(Error::TaskNotFound),
            }
        }
    }
}

enum Applied {
    Answer(RowsAnswer),
    /// Rows before the batch are missing: the checkpoint is at this row.
    TooEarly {
        stored: u64,
    },
    DoesNotFit(ErrorLocation),
    OtherKind,
}

/// Loads a batch if it starts at the checkpoint, in the caller's transaction.
fn apply(conn: &mut DbConnection, id: TaskId, batch: &RowBatch) -> DbResult<Applied> {
    let answer = |outcome, checkpoint| Ok(Applied::Answer(RowsAnswer { outcome, checkpoint }));
    let Some((task, now)) = tasks::find_and_lock_one(conn, id)? else {
        return answer(Outcome::LeaseLost, None);
    };
    let TaskSpec::DataUpload(spec) = &task.spec else { return Ok(Applied::OtherKind) };
    let stored = checkpoint(&task)?;
    if task.state != TaskState::Processing || task.attempt != batch.attempt {
        return answer(attempts::lost_fence(&task, batch.attempt), stored);
    }
    if spec.on_bad_row == OnBadRow::Fail && !batch.rejected.is_empty() {
        let reason = "are not allowed for a task with on_bad_row=fail";
        return Ok(Applied::DoesNotFit(ErrorLocation::field("rejected", reason)));
    }
    if stored == batch.from {
        store::insert(conn, id, &batch.rows, &batch.rejected, now)?;
        store::set_checkpoint(conn, id, &batch.checkpoint, now + LEASE)?;
        return answer(Outcome::Continue, Some(batch.checkpoint.clone()));
    }
    let (here, from) = (batch::position(&stored), batch::position(&batch.from));
    if from < here {
        answer(Outcome::Continue, stored)
    } else if from > here {
        Ok(Applied::TooEarly { stored: here.row })
    } else {
        let reason = "is at the position of the stored checkpoint but differs from it";
        Ok(Applied::DoesNotFit(ErrorLocation::field("from", reason)))
    }
}
