//! The tasks that a bulk action is for.

use common::bulk_action::{ActionError, BulkAction};
use common::task::spec::BulkActionSpec;
use common::task::{TaskId, TaskKind, TaskState, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Matches;
use crate::db::{DbConnection, DbError, DbResult};
use crate::error::Error;
use crate::kinds::bulk_action::State;
use crate::paging::Position;
use crate::tasks::Task;
use crate::tasks::store::{self, Filter, Sort};
use crate::tasks::unreadable::ReadTask;

/// How many tasks are selected at a time.
const STEP: usize = 200;

/// Which tasks of a user.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Those of a list.
    Filter(Box<Filter>),
    /// These.
    Ids(Vec<TaskId>),
}

impl Selection {
    /// Those of a list with this filter, but no bulk actions.
    pub fn matching(filter: Filter) -> Self {
        Self::Filter(Box::new(Filter { except: Some(TaskKind::BulkAction), ..filter }))
    }

    /// The spec of the task that acts on them; `matched` is their number.
    pub(super) fn into_spec(
        self,
        action: BulkAction,
        matched: u64,
    ) -> Result<BulkActionSpec, Error> {
        let (filter, ids) = match self {
            Self::Ids(ids) => (Map::new(), Some(ids)),
            Self::Filter(filter) => match serde_json::to_value(filter) {
                Ok(Value::Object(filter)) => (filter, None),
                _ => return Err(Error::Internal),
            },
        };
        Ok(BulkActionSpec { action, filter, ids, matched })
    }

    /// Counts the tasks, and those whose state `is_possible`.
    pub(super) fn count(
        &self,
        conn: &mut DbConnection,
        owner: UserId,
        is_possible: impl Fn(TaskState) -> bool,
    ) -> DbResult<Matches> {
        let filter = match self {
            Self::Filter(filter) => filter,
            Self::Ids(ids) => {
                let tasks = store::find_several(conn, owner, ids)?;
                let possible = tasks.iter().flatten().filter(|task| is_possible(task.state));
                let possible = possible.filter(|task| task.kind() != TaskKind::BulkAction).count();
                return Ok(Matches { matched: tasks.len() as u64, possible: possible as u64 });
            }
        };
        let matched = store::count(conn, owner, filter)?;
        let all = TaskState::ALL;
        let given = if filter.state.is_empty() { &all[..] } else { &filter.state[..] };
        let state: Vec<TaskState> = given.iter().copied().filter(|it| is_possible(*it)).collect();
        let possible = match state.is_empty() {
            true => 0,
            false => store::count(conn, owner, &Filter { state, ..(**filter).clone() })?,
        };
        Ok(Matches { matched, possible })
    }
}

/// The state of a bulk action with the next tasks selected; without pending ones, none is left.
pub(super) fn select_next(
    conn: &mut DbConnection,
    task: &Task,
    spec: &BulkActionSpec,
    mut state: State,
) -> DbResult<State> {
    match &spec.ids {
        Some(ids) => select_ids(conn, task.owner, ids, &mut state)?,
        None => select_matching(conn, task, spec, &mut state)?,
    }
    Ok(state)
}

fn select_matching(
    conn: &mut DbConnection,
    task: &Task,
    spec: &BulkActionSpec,
    state: &mut State,
) -> DbResult<()> {
    let created_at = task.created_at.and_utc().timestamp_micros();
    let start = Position { value: Some(created_at), id: task.id.0 };
    let after = match &state.after {
        Some(token) => Position::parse(token).filter(|after| Sort::Newest.accepts(*after)),
        None => Some(start),
    };
    let after = after.ok_or_else(|| DbError::corrupt("no page token"))?;
    let filter = Value::Object(spec.filter.clone());
    let filter = Filter::deserialize(filter).map_err(DbError::corrupt)?;
    let limit = STEP as i64;
    let found = store::list(conn, Some(task.owner), &filter, Sort::Newest, Some(after), limit)?;
    if let Some((_, last)) = found.last() {
        state.after = Some(last.to_string());
    }
    state.pending = found.iter().map(|(_, position)| TaskId(position.id)).collect();
    Ok(())
}

/// Tasks that do not exist or are bulk actions are counted at once.
fn select_ids(
    conn: &mut DbConnection,
    owner: UserId,
    ids: &[TaskId],
    state: &mut State,
) -> DbResult<()> {
    while state.pending.is_empty() && state.taken < ids.len() {
        let next = ids.get(state.taken..).unwrap_or_default();
        let next = next.get(..STEP).unwrap_or(next);
        let found = store::find_several(conn, owner, next)?;
        for id in next {
            let task = found.iter().find(|task| id_of(task) == *id);
            match refusal(task) {
                None => state.pending.push(*id),
                Some(reason) => state.count(Err(ActionError {
                    task_id: *id,
                    state: task.and_then(|task| task.as_ref().ok()).map(|task| task.state),
                    reason: reason.to_owned(),
                })),
            }
        }
        state.taken += next.len();
    }
    Ok(())
}

fn id_of(task: &ReadTask) -> TaskId {
    match task {
        Ok(task) => task.id,
        Err(task) => task.id,
    }
}

/// Why a task that was named cannot be acted on, whatever the action is.
fn refusal(task: Option<&ReadTask>) -> Option<&'static str> {
    match task {
        None => Some("the task does not exist"),
        Some(Ok(task)) if task.kind() == TaskKind::BulkAction => {
            Some("bulk actions do not act on bulk actions")
        }
        Some(_) => None,
    }
}
