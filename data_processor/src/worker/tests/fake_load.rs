//! The loads of a fake task manager, with faults that a test injects.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::problem::Problem;
use common::report::{LoadCheckpoint, Outcome, RejectedRow, RowBatch, RowsAnswer};
use common::task::TaskId;
use tokio::time::{Instant, sleep};

use super::fake_task_manager::Shared;

/// How long a batch waits for the one before it.
const WAIT: Duration = Duration::from_millis(200);

/// The load of a task.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) checkpoint: Option<LoadCheckpoint>,
    pub(super) rows: Vec<(u64, String, String)>,
    pub(super) rejected: Vec<RejectedRow>,
    /// The faults of the next calls, one each.
    pub(super) faults: VecDeque<Fault>,
    /// The outcome instead of `continue` after this many rows.
    pub(super) end: Option<(u64, Outcome)>,
    /// The number of batches received.
    pub(super) calls: usize,
    /// The maximum number of concurrent calls.
    pub(super) max_concurrent: usize,
    pub(super) answering: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The task manager is down.
    Down,
    /// The batch is stored, but its answer is lost.
    AnswerLost,
    /// The batch is refused as out of order.
    OutOfOrder,
    /// The batch is processed after a delay.
    Late,
    /// The database has no space left.
    Full,
}

impl Fault {
    /// Those that a load survives.
    pub(super) const ALL: [Self; 5] =
        [Self::None, Self::Down, Self::AnswerLost, Self::OutOfOrder, Self::Late];
}

fn row(checkpoint: &Option<LoadCheckpoint>) -> u64 {
    checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.row)
}

impl Load {
    /// Applies a batch; `None` if earlier rows are missing.
    fn apply(&mut self, batch: &RowBatch) -> Option<RowsAnswer> {
        let mut outcome = Outcome::Continue;
        if let Some((at, end)) = &self.end
            && row(&self.checkpoint) >= *at
        {
            outcome = end.clone();
        } else if batch.from == self.checkpoint {
            self.rows.extend(batch.rows.clone());
            self.rejected.extend(batch.rejected.clone());
            self.checkpoint = Some(batch.checkpoint.clone());
        } else if row(&batch.from) > row(&self.checkpoint) {
            return None;
        }
        Some(RowsAnswer { outcome, checkpoint: self.checkpoint.clone() })
    }
}

pub(super) async fn rows(
    State(script): State<Shared>,
    Path(id): Path<TaskId>,
    Json(batch): Json<RowBatch>,
) -> Response {
    let fault = {
        let mut script = script.lock().unwrap();
        let is_down = script.is_down;
        let load = script.loads.entry(id).or_default();
        load.calls += 1;
        load.answering += 1;
        load.max_concurrent = load.max_concurrent.max(load.answering);
        if is_down { Fault::Down } else { load.faults.pop_front().unwrap_or(Fault::None) }
    };
    let answer = answer(&script, id, &batch, fault).await;
    script.lock().unwrap().loads.entry(id).or_default().answering -= 1;
    answer
}

async fn answer(script: &Shared, id: TaskId, batch: &RowBatch, fault: Fault) -> Response {
    match fault {
        Fault::Down => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Fault::OutOfOrder => return out_of_order(),
        Fault::Full => return full(),
        Fault::Late => sleep(Duration::from_millis(20)).await,
        Fault::None | Fault::AnswerLost => {}
    }
    let start = Instant::now();
    loop {
        let applied = script.lock().unwrap().loads.entry(id).or_default().apply(batch);
        match applied {
            Some(_) if fault == Fault::AnswerLost => {
                return StatusCode::BAD_GATEWAY.into_response();
            }
            Some(answer) => return Json(answer).into_response(),
            None if start.elapsed() > WAIT => return out_of_order(),
            None => sleep(Duration::from_millis(1)).await,
        }
    }
}

fn full() -> Response {
    let problem = Problem::new(507, "database_full", "The database is full", "Make space.");
    (StatusCode::INSUFFICIENT_STORAGE, Json(problem)).into_response()
}

fn out_of_order() -> Response {
    let problem = Problem::new(409, "out_of_order", "Too early", "rows before it are missing");
    (StatusCode::CONFLICT, Json(problem)).into_response()
}
