//! The output of a task that was accepted as its result.

use common::report::Output;
use common::storage::OutputPart;
use common::task::TaskState;

use super::Task;
use crate::error::Error;

/// The output of a processed task, and the attempt that wrote it.
///
/// # Errors
/// Why the task has no such file, or none yet.
pub fn accepted_output(task: &Task, part: OutputPart) -> Result<(&Output, u32), Error> {
    let state = task.state;
    match state {
        TaskState::Initializing | TaskState::Queued | TaskState::Processing => {
            return Err(Error::NotReady { state });
        }
        TaskState::Failed | TaskState::Stopping | TaskState::Stopped | TaskState::Killed => {
            return Err(Error::NoResult { state, reason: "it has no result" });
        }
        TaskState::Processed => {}
    }
    match (&task.output, task.output_attempt) {
        (Some(output), _) if part == OutputPart::Rejected && !output.has_rejected => {
            Err(Error::NoResult { state, reason: "it has rejected no rows" })
        }
        (Some(_), Some(_)) if task.files_removed => Err(Error::Expired),
        (Some(output), Some(attempt)) => Ok((output, attempt)),
        _ => Err(Error::NoResult { state, reason: "tasks of its kind have no file" }),
    }
}
