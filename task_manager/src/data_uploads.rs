//! Loading the rows of files into the database.
//!
//! # Invariants
//! - Rows and the checkpoint behind them commit together, and only while the attempt holds the
//!   fence: every row of a file is loaded exactly once, however often it is sent.
//! - No row of a task has a higher number than its checkpoint says; hence a rollback that walks the
//!   checkpoint back leaves nothing.
//! - The checkpoint is the database's alone: what a report says of it is not taken over.
//!
//! # Not here
//! Reading the file (`data_processor`), and receiving it (`uploads`).

pub mod batch;
pub mod rejected;
pub mod rollback;
pub mod store;
pub mod turns;

use std::sync::Arc;
use std::time::Duration;

use common::problem::ErrorLocation;
use common::report::{LEASE, LoadCheckpoint, Outcome, RowBatch, RowsAnswer};
use common::task::spec::{OnBadRow, TaskSpec};
use common::task::{Progress, TaskId, TaskKind, TaskState};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::db::{Database, DbConnection, DbError, DbResult};
use crate::error::Error;
use crate::tasks::{Task, attempts, store as tasks};
use turns::Turns;

/// How long a batch waits for the one before it.
const WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether another task manager got the one before it.
const POLL: Duration = Duration::from_millis(100);

/// Takes in the rows of files. Clones share everything.
#[derive(Debug, Clone)]
pub struct Loads {
    db: Database,
    turns: Turns,
}

impl Loads {
    pub fn new(db: Database) -> Self {
        Self { db, turns: Turns::default() }
    }

    /// Loads a batch of the task `id`, or says why not. One that comes before its turn waits a
    /// second for those before it.
    pub async fn receive(&self, id: TaskId, batch: RowBatch) -> Result<RowsAnswer, Error> {
        batch::check(&batch)?;
        let batch = Arc::new(batch);
        let turn = self.turns.of(id);
        let deadline = Instant::now() + WAIT;
        loop {
            // Listens before it looks, so that a batch committed in between is not missed.
            let mut advanced = std::pin::pin!(turn.advanced.notified());
            advanced.as_mut().enable();
            let applied = {
                let _one_at_a_time = turn.writing.lock().await;
                let batch = Arc::clone(&batch);
                self.db.write(move |conn| apply(conn, id, &batch)).await?
            };
            match applied {
                Applied::Answer(answer) => {
                    turn.advanced.notify_waiters();
                    return Ok(answer);
                }
                Applied::TooEarly { stored } if Instant::now() >= deadline => {
                    return Err(Error::OutOfOrder { stored, from: batch::place(&batch.from).row });
                }
                // The end of the time is no error: it is looked again.
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
    /// Rows before it are missing: the checkpoint is at this row.
    TooEarly {
        stored: u64,
    },
    DoesNotFit(ErrorLocation),
    OtherKind,
}

/// Loads a batch where it is its turn, in the caller's transaction.
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
        let reason = "are none that a task with on_bad_row=fail may have";
        return Ok(Applied::DoesNotFit(ErrorLocation::field("rejected", reason)));
    }
    if stored == batch.from {
        store::insert(conn, id, &batch.rows, &batch.rejected, now)?;
        store::set_checkpoint(conn, id, &batch.checkpoint, now + LEASE)?;
        return answer(Outcome::Continue, Some(batch.checkpoint.clone()));
    }
    let (here, from) = (batch::place(&stored), batch::place(&batch.from));
    if from < here {
        answer(Outcome::Continue, stored)
    } else if from > here {
        Ok(Applied::TooEarly { stored: here.row })
    } else {
        let reason = "is at the place of the stored checkpoint but differs from it";
        Ok(Applied::DoesNotFit(ErrorLocation::field("from", reason)))
    }
}

/// Where a load got to; none before the first batch, and for other kinds of task.
pub fn checkpoint(task: &Task) -> DbResult<Option<LoadCheckpoint>> {
    match &task.checkpoint {
        Some(value) if task.kind() == TaskKind::DataUpload => {
            serde_json::from_value(value.clone()).map(Some).map_err(DbError::corrupt)
        }
        _ => Ok(None),
    }
}

/// The task's result: what the worker says, with the numbers of what was committed.
pub fn result(task: &Task, reported: &Value) -> DbResult<Value> {
    let resumed_from_row = reported.get("resumed_from_row").cloned().unwrap_or_default();
    Ok(counts(checkpoint(task)?.as_ref(), resumed_from_row))
}

fn counts(checkpoint: Option<&LoadCheckpoint>, resumed_from_row: Value) -> Value {
    json!({
        "rows_loaded": checkpoint.map_or(0, |checkpoint| checkpoint.loaded),
        "rows_rejected": checkpoint.map_or(0, |checkpoint| checkpoint.rejected),
        "resumed_from_row": resumed_from_row,
    })
}

/// What a task that is not processed has loaded so far, as its `result`; none while it is rolled
/// back.
pub fn result_so_far(task: &Task) -> Option<Value> {
    if matches!(task.state, TaskState::Stopping | TaskState::Stopped) {
        return None;
    }
    let checkpoint = checkpoint(task).ok()??;
    Some(counts(Some(&checkpoint), Value::Null))
}

/// Where the rejected rows of a load are, where it has any.
pub fn rejected_link(task: &Task) -> Option<String> {
    let result = task.result.clone().or_else(|| result_so_far(task))?;
    let rejected = result.get("rows_rejected").and_then(Value::as_u64)?;
    (rejected > 0).then(|| format!("/v1/data_uploads/{}/rejected", task.id))
}

/// The progress of a rollback that is to begin: none of the rows is removed.
pub fn rollback_progress(task: &Task) -> DbResult<Option<Progress>> {
    Ok(checkpoint(task)?.map(|checkpoint| removed_rows(0, checkpoint.row)))
}

fn removed_rows(done: u64, total: u64) -> Progress {
    Progress { done, total: Some(total), unit: "rows".to_owned(), per_second: None }
}
