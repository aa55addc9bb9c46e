//! One attempt from its start to the event that ends it.

use std::time::Duration;

use common::report::Event;
use serde_json::Value;
use tokio::task::JoinError;
use tokio::time::sleep;

use crate::processor::{Completed, Context, Interrupted, Interruption, ProcessError};
use crate::processors::Processing;

/// How long an interrupted processor may take to notice. After that it is dropped.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a processor came to.
pub(super) type Processed = Result<Completed<Value>, ProcessError>;

/// Runs a processor. One that hears no interruption must not keep its slot for ever.
pub(super) async fn run(processing: Processing, context: Context) -> Processed {
    let impatient = async {
        context.interrupted().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        processed = processing => processed,
        () = impatient => {
            tracing::warn!("the processor did not end when it was interrupted, and was dropped");
            Err(Interrupted.into())
        }
    }
}

/// What is to be reported; nothing where the task manager has ended the attempt itself.
pub(super) fn last_event(
    processed: Result<Processed, JoinError>,
    interruption: Option<Interruption>,
) -> Option<Event> {
    match interruption {
        Some(Interruption::Stop | Interruption::Kill | Interruption::LeaseLost) => return None,
        Some(Interruption::Drain | Interruption::Silence) | None => {}
    }
    let processed = processed.unwrap_or_else(|error| Err(ProcessError::retry(panicked(error))));
    Some(match processed {
        Ok(Completed { result, output }) => Event::Completed { result, output },
        Err(ProcessError::Retry { after, checkpoint, reason }) => {
            Event::Retry { after: after.map(|after| after.as_secs_f64()), checkpoint, reason }
        }
        Err(ProcessError::Fail(problem)) => Event::Failed { error: *problem },
        Err(ProcessError::Interrupted(_)) if interruption.is_some() => {
            Event::Released { checkpoint: None }
        }
        // Given back uncounted, it would come and go for ever.
        Err(error @ ProcessError::Interrupted(_)) => Event::Retry {
            after: None,
            checkpoint: None,
            reason: Some(format!("the processor gave up: {error}")),
        },
    })
}

fn panicked(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let said = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            format!("the processor panicked: {}", said.unwrap_or("it gave no reason"))
        }
        Err(error) => format!("the processor was given up: {error}"),
    }
}
