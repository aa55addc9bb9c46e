//! Runs an ended task again: a new task, with other parameters if requested, reads a copy of its
//! file.
//!
//! # Invariants
//! - Until the copy is durable, the new task is a draft like that of an upload: it is queued, or
//!   nothing of it remains.
//! - No earlier task is resumed instead.
//!
//! # Not here
//! Queueing the same task again (`interrupt`).

use common::task::{AcceptedTask, TaskId, TaskState, UserId};
use serde_json::{Map, Value};

use super::upload::Uploads;
use super::upload::commit::commit_new;
use super::upload::draft::{Purpose, SealedDraft};
use crate::error::Error;
use crate::idempotency::{Answering, IdempotentRequest};
use crate::tasks::{Task, store};

/// Creates a task like `id` of `owner`; `changes` replace parameters.
pub async fn run_again(
    uploads: &Uploads,
    owner: UserId,
    id: TaskId,
    changes: Map<String, Value>,
    request_key: IdempotentRequest,
) -> Result<AcceptedTask, Error> {
    let create = |answering| create(uploads, owner, id, changes, answering);
    uploads.keys.once(request_key, create).await
}

async fn create(
    uploads: &Uploads,
    owner: UserId,
    id: TaskId,
    changes: Map<String, Value>,
    answering: Answering,
) -> Result<AcceptedTask, Error> {
    let Uploads { drafts, wakeups, .. } = uploads;
    let task = drafts.db.read(move |conn| store::find_owned(conn, owner, id)).await?;
    let task = task.ok_or(Error::TaskNotFound)?;
    check(&task)?;
    let spec = task.spec.with_parameters(&changes).map_err(Error::InvalidParameters)?;
    let input = task.kept_input().cloned().ok_or(Error::Expired)?;
    let purpose = Purpose { owner, spec, file_name: input.file_name.clone() };
    let draft = SealedDraft::copy(drafts, TaskId::new(), purpose, id, input).await?;
    commit_new(&drafts.db, wakeups, draft, answering).await
}

/// Checks that the task has ended and had a file.
fn check(task: &Task) -> Result<(), Error> {
    if let Some(route) = task.kind().created_by() {
        let kind = task.kind();
        return Err(Error::NoInput(format!("Tasks of the kind {kind} are created by {route}.")));
    }
    if !task.state.is_ended() {
        let rule = "only a task that is processed, failed, stopped or killed can be run again";
        return Err(Error::InvalidState { id: task.id, state: task.state, rule });
    }
    // The row of a draft that was stopped has the name of its file only.
    if task.state == TaskState::Stopped && task.queued_at.is_none() {
        let detail = "The task was stopped before its file had arrived. Upload the file again.";
        return Err(Error::NoInput(detail.to_owned()));
    }
    Ok(())
}
