//! Actions on many tasks: a task of the kind `bulk_action` does them step by step.
//!
//! # Invariants
//! - It acts on tasks of its owner that were created before it and are not bulk actions.
//! - Nothing is done for a disabled user: the steps fail, and then the task does.
//! - A step stores the tasks that it selects before it acts on them. A repeated step acts on the
//!   same ones, so that each is counted once.
//! - Each task changes in a transaction of its own, as by a request for it alone.
//!
//! # Not here
//! Calling the steps: the worker does (`data_processor`).

mod selection;
mod step;

pub use selection::Selection;

use common::bulk_action::BulkAction;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskKind, TaskState, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::interrupt::Interrupt;
use crate::db::{self, Database, DbError};
use crate::error::Error;
use crate::idempotency::{Answering, IdempotencyKeys, IdempotentRequest};
use crate::lifecycle::wakeups::Wakeups;
use crate::metrics::metrics;
use crate::tasks::submissions::{self, NewTask};
use crate::views::view;

/// Accepts bulk actions and runs their steps. Clones share everything.
#[derive(Debug, Clone)]
pub struct BulkActions {
    pub db: Database,
    pub keys: IdempotencyKeys,
    pub wakeups: Wakeups,
}

/// How many tasks an action is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Matches {
    /// How many tasks match.
    pub matched: u64,
    /// How many of them are in a state that permits the action.
    pub possible: u64,
}

impl BulkActions {
    /// Counts the tasks that match now.
    pub async fn count(
        &self,
        owner: UserId,
        action: BulkAction,
        selection: Selection,
    ) -> Result<Matches, Error> {
        let is_possible = move |state| permits(action, state);
        Ok(self.db.read(move |conn| selection.count(conn, owner, is_possible)).await?)
    }

    /// Creates the task that acts on those that match.
    pub async fn submit(
        &self,
        owner: UserId,
        action: BulkAction,
        selection: Selection,
        request_key: IdempotentRequest,
    ) -> Result<AcceptedTask, Error> {
        let submit = async |answering: Answering| {
            let Matches { matched, .. } = self.count(owner, action, selection.clone()).await?;
            let spec = TaskSpec::BulkAction(selection.into_spec(action, matched)?);
            let accepted = self.db.write(move |conn| {
                let now = db::now(conn)?;
                let new = NewTask { owner, spec: spec.clone() };
                let task = submissions::submit(conn, vec![new], now)?.pop();
                let task = task.ok_or_else(|| DbError::corrupt("no task was created"))?;
                let task = view(conn, task)?;
                let accepted = AcceptedTask { task, resumed: false, resumed_from_row: None };
                answering.store(conn, &accepted)?;
                Ok(accepted)
            });
            let accepted = accepted.await?;
            metrics().tasks_accepted(TaskKind::BulkAction, 1);
            self.wakeups.changed(&self.db, (owner, accepted.task.task_id)).await;
            Ok(accepted)
        };
        self.keys.once(request_key, submit).await
    }
}

/// The interrupt that an action is; none for a deletion.
fn interrupt_of(action: BulkAction) -> Option<Interrupt> {
    match action {
        BulkAction::Stop => Some(Interrupt::Stop),
        BulkAction::Kill => Some(Interrupt::Kill),
        BulkAction::Resume => Some(Interrupt::Resume),
        BulkAction::Delete => None,
    }
}

/// Whether a task in this state permits an action.
fn permits(action: BulkAction, state: TaskState) -> bool {
    match interrupt_of(action) {
        Some(interrupt) => interrupt.is_permitted(state),
        None => state.is_ended(),
    }
}
