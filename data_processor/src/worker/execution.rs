//! The execution of an attempt, and the event that ends it.

use std::time::Duration;

use common::report::Event;
use serde_json::Value;
use tokio::task::JoinError;
use tokio::time::sleep;

use crate::processor::{Completed, Context, Interrupted, Interruption, ProcessError};
use crate::processors::Processing;

/// How long an interrupted processor may take to end. After that it is dropped.
const PATIENCE: Duration = Duration::from_secs(2);

/// The result of a processor.
pub(super) type Processed = Result<Completed<Value>, ProcessError>;

/// Runs a processor. One that ignores interruptions is dropped, so that its slot becomes free.
pub(super) async fn run(processing: Processing, context: Context) -> Processed {
    let impatient = async {
        context.interrupted().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        processed = processing => processed,
        () = impatient => {
            tracing::warn!("the processor ignored the interruption and was dropped");
            Err(Interrupted.into())
        }
    }
}

/// The event to report; `None` if the task manager has ended the attempt itself.
pub(super) fn final_event(
    processed: Result<Processed, JoinError>,
    interruption: Option<Interruption>,
) -> Option<Event> {
    match interruption {
        Some(Interruption::Stop | Interruption::Kill | Interruption::LeaseLost) => return None,
        Some(Interruption::Drain | Interruption::LeaseExpired) | None => {}
    }
    let processed = processed.unwrap_or_else(|error| Err(ProcessError::retry(panicked(error))));
    Some(match processed {
        Ok(Completed { result, output }) => Event::Completed { result, output },
        Err(ProcessError::Retry { after, checkpoint, reason }) => {
            let after = after.map(|after| after.as_secs_f64());
            Event::Retry { after, checkpoint, reason, waits_for: None }
        }
        Err(ProcessError::Wait { after, what }) => Event::Retry {
            after: Some(after.as_secs_f64()),
            checkpoint: None,
            reason: None,
            waits_for: Some(what),
        },
        Err(ProcessError::Fail(problem)) => Event::Failed { error: *problem },
        Err(ProcessError::Interrupted(_)) if interruption.is_some() => {
            Event::Released { checkpoint: None }
        }
        // A release counts no failure, so the task would be retried for ever.
        Err(error @ ProcessError::Interrupted(_)) => Event::Retry {
            after: None,
            checkpoint: None,
            reason: Some(format!("the processor ended without an interruption: {error}")),
            waits_for: None,
        },
    })
}

fn panicked(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            format!("the processor panicked: {}", message.unwrap_or("no message"))
        }
        Err(error) => format!("the processor was aborted: {error}"),
    }
}
