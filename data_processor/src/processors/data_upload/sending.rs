//! Batches of rows on their way to the task manager: several at once, in order, each until it is
//! stored.
//!
//! A batch carries the checkpoint behind which it belongs, so one that arrives twice or too early
//! does no harm, and an answer always says what is stored.

use std::time::Duration;

use common::client::ClientError;
use common::problem::Problem;
use common::report::{self, LEASE, LoadCheckpoint, RowBatch, RowsAnswer};
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::processor::{Context, Interrupted, Interruption, ProcessError};

/// How many batches are under way at once: while one is written, the next ones arrive.
const UNDER_WAY: usize = 4;

/// How long a batch is sent again and again. A task manager that is away for longer than a lease
/// has ended the attempt by then; one that only refuses rows has not.
const PATIENCE: Duration = LEASE.saturating_mul(2);

/// The code of a refusal: batches before this one are missing.
const OUT_OF_ORDER: &str = "out_of_order";

/// What became of the batches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All are stored; this is the last checkpoint.
    All(Option<LoadCheckpoint>),
    /// The task manager has got to another place: the load goes on there.
    GoTo {
        /// The stored checkpoint; none where nothing is known to be stored.
        stored: Option<LoadCheckpoint>,
        /// Whether batches of this round were stored.
        advanced: bool,
    },
}

/// A batch with the answer to it.
type Answered = (RowBatch, Result<RowsAnswer, ClientError>);

/// Sends all that comes out of `batches`, the first one of which belongs behind `stored`.
///
/// # Errors
/// The attempt was interrupted, or the task manager does not take the rows.
pub(super) async fn send(
    ctx: &Context,
    batches: mpsc::Receiver<RowBatch>,
    stored: Option<LoadCheckpoint>,
) -> Result<Outcome, ProcessError> {
    tokio::select! {
        sent = send_all(ctx, batches, stored) => sent,
        () = ctx.interrupted() => Err(Interrupted.into()),
    }
}

async fn send_all(
    ctx: &Context,
    mut batches: mpsc::Receiver<RowBatch>,
    mut stored: Option<LoadCheckpoint>,
) -> Result<Outcome, ProcessError> {
    let mut under_way = FuturesOrdered::new();
    let (mut more, mut advanced) = (true, false);
    while more || !under_way.is_empty() {
        tokio::select! {
            batch = batches.recv(), if more && under_way.len() < UNDER_WAY => match batch {
                Some(batch) => under_way.push_back(post(ctx, batch)),
                None => more = false,
            },
            Some((batch, answer)) = under_way.next() => {
                // It overtook those before it, which are stored by now.
                let (batch, answer) = match answer {
                    Err(error) if is_out_of_order(&error) => post(ctx, batch).await,
                    answer => (batch, answer),
                };
                match settle(ctx, &batch, answer)? {
                    Settled::Stored => {
                        ctx.progress(batch.checkpoint.offset)?;
                        advanced = true;
                        stored = Some(batch.checkpoint);
                    }
                    Settled::Elsewhere(stored) => return Ok(Outcome::GoTo { stored, advanced }),
                }
            }
        }
    }
    Ok(Outcome::All(stored))
}

/// Sends a batch until there is an answer that says something.
async fn post(ctx: &Context, batch: RowBatch) -> Answered {
    let mut backoff = Backoff::new();
    let started = Instant::now();
    loop {
        match ctx.load(&batch).await {
            Err(error) if error.is_transient() && started.elapsed() < PATIENCE => {
                tracing::debug!(%error, row = batch.checkpoint.row, "rows went unanswered");
                sleep(backoff.next()).await;
            }
            answer => return (batch, answer),
        }
    }
}

/// Where the task manager is after an answer.
enum Settled {
    /// Behind the batch.
    Stored,
    Elsewhere(Option<LoadCheckpoint>),
}

fn settle(
    ctx: &Context,
    batch: &RowBatch,
    answer: Result<RowsAnswer, ClientError>,
) -> Result<Settled, ProcessError> {
    let RowsAnswer { outcome, checkpoint } = match answer {
        Ok(answer) => answer,
        // Those before it were said to be stored and are not. The first batch of the file, sent
        // again, is told what is.
        Err(error) if is_out_of_order(&error) => return Ok(Settled::Elsewhere(None)),
        Err(error) => {
            let reason = format!("the task manager does not take the rows: {error}");
            return Err(ProcessError::retry(reason));
        }
    };
    let why = match outcome {
        report::Outcome::Continue | report::Outcome::Accepted => {
            return stored(batch, checkpoint);
        }
        report::Outcome::Rejected { problem } => {
            return Err(ProcessError::retry(format!("the rows were rejected: {problem}")));
        }
        report::Outcome::Stop => Interruption::Stop,
        report::Outcome::Kill => Interruption::Kill,
        report::Outcome::LeaseLost => Interruption::LeaseLost,
    };
    ctx.interrupt(why);
    Err(Interrupted.into())
}

fn stored(batch: &RowBatch, checkpoint: Option<LoadCheckpoint>) -> Result<Settled, ProcessError> {
    match checkpoint {
        Some(stored) if stored == batch.checkpoint => Ok(Settled::Stored),
        Some(stored) if stored.sha256 != batch.checkpoint.sha256 => {
            let detail = "rows of another file are stored for the task; stop it and upload again";
            let problem = Problem::new(409, "other_file", "The rows are of another file", detail);
            Err(ProcessError::fail(problem))
        }
        stored => Ok(Settled::Elsewhere(stored)),
    }
}

fn is_out_of_order(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == OUT_OF_ORDER)
}
