//! A step of a bulk action: acts on the next tasks.

use std::time::Duration;

use chrono::NaiveDateTime;
use common::bulk_action::{ActionError, BulkAction};
use common::report::{Outcome, StepAnswer};
use common::task::{TaskId, TaskState, UserId};
use tokio::time::Instant;
use tracing::info;

use super::selection::select_next;
use super::{BulkActions, interrupt_of};
use crate::accounts::users;
use crate::db::{DbConnection, DbResult};
use crate::error::Error;
use crate::kinds::bulk_action::{self, State};
use crate::lifecycle::{delete, interrupt};
use crate::live::OwnedTask;
use crate::tasks::{Task, attempts, store};

/// After this time a step leaves the rest to the next one, so that its answer is in time.
const LIMIT: Duration = Duration::from_secs(2);

/// The outcome for one task.
type Acted = (TaskId, Result<(), ActionError>);

/// A bulk action as it is read before a step.
enum Found {
    Nothing,
    /// It acts for a user who may do nothing any more.
    OfDisabledUser,
    States {
        /// The stored one.
        seen: State,
        /// The same with the next tasks selected.
        next: State,
    },
}

/// A bulk action whose attempt holds the fence.
struct Held {
    task: Task,
    state: State,
}

impl BulkActions {
    /// Acts on the next tasks of the bulk action `id`, if `attempt` is its latest.
    ///
    /// # Errors
    /// The database is not available: the step is to be repeated. Or it is no bulk action, or its user
    /// is disabled.
    pub async fn step(&self, id: TaskId, attempt: u32) -> Result<StepAnswer, Error> {
        let held = match self.select(id, attempt).await? {
            Ok(held) => held,
            Err(outcome) => return Ok(StepAnswer { outcome, is_complete: false }),
        };
        if held.state.pending.is_empty() {
            return Ok(StepAnswer { outcome: Outcome::Continue, is_complete: true });
        }
        let acted = self.act_on_pending(&held).await?;
        let owner = held.task.owner;
        let changed: Vec<OwnedTask> = acted.iter().map(|(id, _)| (owner, *id)).collect();
        let record = self.db.write(move |conn| record(conn, &held, attempt, &acted));
        let outcome = record.await?;
        self.wakeups.wake();
        self.publish(changed, (owner, id)).await?;
        Ok(StepAnswer { outcome, is_complete: false })
    }

    /// Selects the next tasks, unless some are pending; stores them. An error is the answer to an
    /// attempt that has lost the fence.
    async fn select(&self, id: TaskId, attempt: u32) -> Result<Result<Held, Outcome>, Error> {
        // Outside of the transaction that stores them, since a search may take long.
        let found = self.db.read(move |conn| {
            let Some(task) = store::find(conn, id)? else { return Ok(Found::Nothing) };
            if users::is_disabled(conn, task.owner)? {
                return Ok(Found::OfDisabledUser);
            }
            let (spec, state) = (bulk_action::spec(&task)?, State::of(&task)?);
            let next = match state.pending.is_empty() {
                true => select_next(conn, &task, spec, state.clone())?,
                false => state.clone(),
            };
            Ok(Found::States { seen: state, next })
        });
        let (seen, next) = match found.await? {
            Found::States { seen, next } => (seen, next),
            Found::Nothing => return Ok(Err(Outcome::LeaseLost)),
            Found::OfDisabledUser => return Err(Error::UserDisabled),
        };
        let held = self.db.write(move |conn| {
            let (task, state, now) = match hold(conn, id, attempt)? {
                Ok(held) => held,
                Err(outcome) => return Ok(Err(outcome)),
            };
            // A concurrent call, sent when this one took too long, may have gone on.
            if state != seen {
                return Ok(Err(Outcome::Continue));
            }
            if next != seen {
                let progress = next.progress(bulk_action::spec(&task)?);
                bulk_action::store::set_state(conn, id, &next, &progress, now)?;
            }
            Ok(Ok(Held { task, state: next.clone() }))
        });
        Ok(held.await?)
    }

    async fn act_on_pending(&self, held: &Held) -> Result<Vec<Acted>, Error> {
        let Held { task, state } = held;
        let action = bulk_action::spec(task)?.action;
        let started = Instant::now();
        let mut acted = Vec::with_capacity(state.pending.len());
        for id in &state.pending {
            if !acted.is_empty() && started.elapsed() >= LIMIT {
                break;
            }
            let outcome = self.act(task.owner, action, *id).await?;
            if outcome.is_ok() {
                let (user, by) = (task.owner.0, task.id);
                info!(user_id = %user, task_id = %id, ?action, %by, "bulk action");
            }
            acted.push((*id, outcome));
        }
        Ok(acted)
    }

    /// Acts on one task. An error of the database concerns all of them, and any other only this one.
    async fn act(
        &self,
        owner: UserId,
        action: BulkAction,
        id: TaskId,
    ) -> Result<Result<(), ActionError>, Error> {
        let acted = match interrupt_of(action) {
            Some(interrupt) => interrupt::interrupt(&self.db, owner, id, interrupt).await.map(drop),
            // A task that was selected and is gone was deleted, perhaps by an earlier call.
            None => match delete::delete(&self.db, owner, id).await {
                Err(Error::TaskNotFound) => Ok(()),
                deleted => deleted,
            },
        };
        match acted {
            Ok(()) => Ok(Ok(())),
            Err(
                error @ (Error::DatabaseUnavailable | Error::Overloaded | Error::OutcomeUnknown),
            ) => Err(error),
            Err(error) => {
                let (state, reason) = reason(error);
                Ok(Err(ActionError { task_id: id, state, reason }))
            }
        }
    }

    /// Publishes tasks that changed, and the bulk action itself.
    async fn publish(&self, mut changed: Vec<OwnedTask>, own: OwnedTask) -> Result<(), Error> {
        changed.push(own);
        let changes = self.wakeups.changes().clone();
        let unpublished = self.db.read(move |conn| changes.read(conn, &changed)).await?;
        self.wakeups.changes().publish(unpublished);
        Ok(())
    }
}

/// Locks the bulk action; an error is the answer to an attempt that has lost the fence.
fn hold(
    conn: &mut DbConnection,
    id: TaskId,
    attempt: u32,
) -> DbResult<Result<(Task, State, NaiveDateTime), Outcome>> {
    let Some((task, now)) = store::find_and_lock_one(conn, id)? else {
        return Ok(Err(Outcome::LeaseLost));
    };
    if task.state != TaskState::Processing || task.attempt != attempt {
        return Ok(Err(attempts::lost_fence(&task, attempt)));
    }
    let state = State::of(&task)?;
    Ok(Ok((task, state, now)))
}

/// Counts the tasks, unless a concurrent call has done so.
fn record(
    conn: &mut DbConnection,
    held: &Held,
    attempt: u32,
    acted: &[Acted],
) -> DbResult<Outcome> {
    let (task, mut state, now) = match hold(conn, held.task.id, attempt)? {
        Ok(held) => held,
        Err(outcome) => return Ok(outcome),
    };
    if state == held.state {
        state.pending.drain(..acted.len().min(state.pending.len()));
        for (_, outcome) in acted {
            state.count(outcome.clone());
        }
        let progress = state.progress(bulk_action::spec(&task)?);
        bulk_action::store::set_state(conn, task.id, &state, &progress, now)?;
    }
    Ok(Outcome::Continue)
}

/// Why an action on a task was refused, and the state of the task.
fn reason(error: Error) -> (Option<TaskState>, String) {
    match error {
        Error::InvalidState { state, rule, .. } => (Some(state), rule.to_owned()),
        Error::TaskNotFound => (None, "the task does not exist".to_owned()),
        Error::Expired => (None, "the files of the task have been removed".to_owned()),
        Error::UnreadableTask(detail) => (None, detail),
        error => {
            tracing::error!(?error, "a bulk action failed for a task");
            (None, "internal server error".to_owned())
        }
    }
}
