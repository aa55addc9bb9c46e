//! Sends batches of rows to the task manager: several at a time, in order, each until it is stored.
//!
//! A batch names the checkpoint that it follows, so a batch that arrives twice or too early has no
//! effect. Every answer contains the stored checkpoint.

use std::time::Duration;

use common::client::ClientError;
use common::problem::Problem;
use common::report::{self, LEASE, LoadCheckpoint, RowBatch, RowsAnswer};
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::processor::{Context, Interrupted, Interruption, ProcessError};

/// The maximum number of batches in flight: while one is stored, the next ones arrive.
const MAX_IN_FLIGHT: usize = 4;

/// How long a batch is retried. If the task manager is down for longer than a lease, the attempt
/// has ended by then; if it only refuses rows, it has not.
const PATIENCE: Duration = LEASE.saturating_mul(2);

/// The code of a refusal: batches before this one are missing.
const OUT_OF_ORDER: &str = "out_of_order";

/// The outcome of sending batches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All are stored; this is the last checkpoint.
    All(Option<LoadCheckpoint>),
    /// The task manager has stored another checkpoint, at which the load must resume.
    Rewind {
        /// The stored checkpoint; `None` if it is unknown or nothing is stored.
        stored: Option<LoadCheckpoint>,
        /// Whether batches of this round were stored.
        advanced: bool,
    },
}

/// A batch with the answer to it.
type Answered = (RowBatch, Result<RowsAnswer, ClientError>);

/// Sends all `batches`, the first of which follows `stored`.
///
/// # Errors
/// The attempt was interrupted, or the task manager refuses the rows.
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
    let mut in_flight = FuturesOrdered::new();
    let (mut more, mut advanced) = (true, false);
    while more || !in_flight.is_empty() {
        tokio::select! {
            batch = batches.recv(), if more && in_flight.len() < MAX_IN_FLIGHT => match batch {
                Some(batch) => in_flight.push_back(post(ctx, batch)),
                None => more = false,
            },
            Some((batch, answer)) = in_flight.next() => {
                // It overtook earlier batches, which are stored by now.
                let (batch, answer) = match answer {
                    Err(error) if is_out_of_order(&error) => post(ctx, batch).await,
                    answer => (batch, answer),
                };
                match settle(ctx, &batch, answer)? {
                    Settled::Stored => {
                        ctx.rejected(batch.checkpoint.rejected);
                        // Text may be longer in UTF-8 than in the file.
                        ctx.progress(batch.checkpoint.offset.min(ctx.input()?.size))?;
                        advanced = true;
                        stored = Some(batch.checkpoint);
                    }
                    Settled::Rewind(stored) => return Ok(Outcome::Rewind { stored, advanced }),
                }
            }
        }
    }
    Ok(Outcome::All(stored))
}

/// Sends a batch, and retries it after transient errors.
async fn post(ctx: &Context, batch: RowBatch) -> Answered {
    let mut backoff = Backoff::new();
    let started = Instant::now();
    loop {
        match ctx.load(&batch).await {
            Err(error)
                if error.is_transient()
                    && !error.is_out_of_space()
                    && started.elapsed() < PATIENCE =>
            {
                tracing::debug!(%error, row = batch.checkpoint.row, "cannot send rows, will retry");
                sleep(backoff.next()).await;
            }
            answer => return (batch, answer),
        }
    }
}

/// What an answer says about a batch.
enum Settled {
    /// It is stored.
    Stored,
    /// The task manager has stored another checkpoint.
    Rewind(Option<LoadCheckpoint>),
}

fn settle(
    ctx: &Context,
    batch: &RowBatch,
    answer: Result<RowsAnswer, ClientError>,
) -> Result<Settled, ProcessError> {
    let RowsAnswer { outcome, checkpoint } = match answer {
        Ok(answer) => answer,
        // Earlier batches were reported as stored, but are lost. The answer to the first batch of
        // the file, sent again, contains the stored checkpoint.
        Err(error) if is_out_of_order(&error) => return Ok(Settled::Rewind(None)),
        Err(error) if error.is_out_of_space() => {
            return Err(ProcessError::wait_for_space(&error));
        }
        Err(error) => {
            let reason = format!("the task manager refuses the rows: {error}");
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
        stored => Ok(Settled::Rewind(stored)),
    }
}

fn is_out_of_order(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == OUT_OF_ORDER)
}
