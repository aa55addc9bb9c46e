//! `bulk_action`: asks the task manager for one step after another, until none is left.
//!
//! The task manager acts on the tasks and remembers how far it is, so that any attempt continues
//! where the one before it ended.

use std::time::Duration;

use common::client::ClientError;
use common::report::{LEASE, Outcome, StepAnswer};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::processor::{Completed, Context, Interrupted, Interruption, ProcessError, Processor};

/// How long a step is retried.
const PATIENCE: Duration = LEASE.saturating_mul(2);

/// Acts on many tasks.
#[derive(Debug)]
pub(super) struct ActOnTasks;

impl Processor for ActOnTasks {
    /// The task manager has the result.
    type Output = Value;

    async fn process(self, ctx: &Context) -> Result<Completed<Value>, ProcessError> {
        tokio::select! {
            all = act_on_all(ctx) => all?,
            () = ctx.interrupted() => return Err(Interrupted.into()),
        }
        Ok(Completed { result: Value::Null, output: None })
    }
}

async fn act_on_all(ctx: &Context) -> Result<(), ProcessError> {
    loop {
        let StepAnswer { outcome, is_complete } = step(ctx).await?;
        let why = match outcome {
            Outcome::Continue | Outcome::Accepted if is_complete => return Ok(()),
            Outcome::Continue | Outcome::Accepted => continue,
            Outcome::Rejected { problem } => {
                return Err(ProcessError::retry(format!("the step was rejected: {problem}")));
            }
            Outcome::Stop => Interruption::Stop,
            Outcome::Kill => Interruption::Kill,
            Outcome::LeaseLost => Interruption::LeaseLost,
        };
        ctx.interrupt(why);
        return Err(Interrupted.into());
    }
}

/// Asks for a step, and retries it after transient errors: it counts each task once.
async fn step(ctx: &Context) -> Result<StepAnswer, ProcessError> {
    let mut backoff = Backoff::new();
    let started = Instant::now();
    loop {
        match ctx.step().await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_worth_a_retry(&error) && started.elapsed() < PATIENCE => {
                tracing::debug!(%error, "a step of a bulk action failed, will retry");
                sleep(backoff.next()).await;
            }
            Err(error) => {
                let reason = format!("the task manager refuses a step: {error}");
                return Err(ProcessError::retry(reason));
            }
        }
    }
}

/// Whether the error is transient. A task manager of an earlier version knows no steps; during an
/// upgrade, the next request may reach another one.
fn is_worth_a_retry(error: &ClientError) -> bool {
    let is_unknown = matches!(error, ClientError::Problem(problem) if problem.status == 404);
    error.is_transient() || is_unknown
}
