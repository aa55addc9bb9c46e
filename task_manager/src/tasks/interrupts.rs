//! Stop, kill, resume, delete: what a user does to a task.
//!
//! # Invariants
//! - An interrupt and a completion race by compare-and-swap: the first commit wins.
//! - An interrupt is final for the data when it is committed, since it takes the fence away.
//! - Repeating one that holds changes nothing and succeeds.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState, TaskView, UserId};

use super::store::{self, Locked};
use super::{Task, transitions, view};
use crate::data_uploads;
use crate::db::{Database, DbConnection, DbResult, Id};
use crate::error::Error;
use crate::{file_statistics, messages, user_events};

/// What an interrupt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// End it and roll back what it wrote.
    Stop,
    /// End it and keep what it wrote.
    Kill,
    /// Put it in the queue again.
    Resume,
}

impl Interrupt {
    fn holds_in(self, state: TaskState) -> bool {
        match self {
            Self::Stop => matches!(state, TaskState::Stopping | TaskState::Stopped),
            Self::Kill => state == TaskState::Killed,
            Self::Resume => matches!(state, TaskState::Queued | TaskState::Processing),
        }
    }

    fn wish(self) -> &'static str {
        match self {
            Self::Stop => {
                "only a task that is initializing, queued, processing, killed or failed can be stopped"
            }
            Self::Kill => "only a task that is queued or processing can be killed",
            Self::Resume => "only a task that is killed or failed can be resumed",
        }
    }
}

/// A task that was interrupted, as it is then.
#[derive(Debug)]
pub struct Interrupted {
    pub task: TaskView,
    /// The row from which it goes on, where it waits to do so.
    pub resumes_from_row: Option<u64>,
}

enum Attempted {
    Done(Box<Interrupted>),
    NotFound,
    WrongState(TaskState),
    FilesGone,
    Unreadable(String),
}

/// Interrupts a task of `owner`; answers it as it is then.
pub async fn interrupt(
    db: &Database,
    owner: UserId,
    id: TaskId,
    interrupt: Interrupt,
) -> Result<Interrupted, Error> {
    let attempted = db
        .write(move |conn| {
            let Locked { mut tasks, mut unreadable, now } =
                store::find_and_lock(conn, &[Id(id.0)])?;
            if let Some(task) = unreadable.pop().filter(|task| task.owner == owner) {
                return Ok(Attempted::Unreadable(task.detail()));
            }
            let Some(task) = tasks.remove(&id).filter(|task| task.owner == owner) else {
                return Ok(Attempted::NotFound);
            };
            if !interrupt.holds_in(task.state) {
                let is_done = match interrupt {
                    Interrupt::Stop => end(conn, &task, TaskState::Stopping, now)?,
                    Interrupt::Kill => end(conn, &task, TaskState::Killed, now)?,
                    Interrupt::Resume if task.files_removed => return Ok(Attempted::FilesGone),
                    Interrupt::Resume => transitions::resume(conn, &task, now)?,
                };
                if !is_done {
                    return Ok(Attempted::WrongState(task.state));
                }
            }
            match store::find(conn, id)? {
                Some(task) => {
                    let is_queued = task.state == TaskState::Queued;
                    let resumes_from_row = task.resumes_from_row().filter(|_| is_queued);
                    let task = view(conn, task)?;
                    Ok(Attempted::Done(Box::new(Interrupted { task, resumes_from_row })))
                }
                None => Ok(Attempted::NotFound),
            }
        })
        .await?;
    match attempted {
        Attempted::Done(interrupted) => Ok(*interrupted),
        Attempted::NotFound => Err(Error::TaskNotFound),
        Attempted::FilesGone => Err(Error::Expired),
        Attempted::Unreadable(detail) => Err(Error::UnreadableTask(detail)),
        Attempted::WrongState(state) => {
            Err(Error::InvalidState { id, state, wish: interrupt.wish() })
        }
    }
}

/// Ends a task as `next`; the progress of a rollback begins at none of its rows.
fn end(
    conn: &mut DbConnection,
    task: &Task,
    next: TaskState,
    now: NaiveDateTime,
) -> DbResult<bool> {
    if !transitions::interrupt(conn, task, next, now)? {
        return Ok(false);
    }
    if next == TaskState::Stopping
        && let Some(progress) = data_uploads::rollback_progress(task)?
    {
        store::set_progress(conn, task.id, &progress)?;
    }
    Ok(true)
}

enum Deleted {
    Done,
    NotFound,
    WrongState(TaskState),
    /// It cannot be read, and something works on it.
    Unreadable(String),
}

/// Deletes an ended task of `owner`: it is hidden at once, and swept with all that it made. One that
/// cannot be read is deleted unless something works on it.
pub async fn delete(db: &Database, owner: UserId, id: TaskId) -> Result<(), Error> {
    match db.write(move |conn| mark_deleted(conn, owner, id)).await? {
        Deleted::Done => Ok(()),
        Deleted::NotFound => Err(Error::TaskNotFound),
        Deleted::Unreadable(detail) => Err(Error::UnreadableTask(detail)),
        Deleted::WrongState(state) => Err(Error::InvalidState {
            id,
            state,
            wish: "only a task that is processed, failed, stopped or killed can be deleted",
        }),
    }
}

fn mark_deleted(conn: &mut DbConnection, owner: UserId, id: TaskId) -> DbResult<Deleted> {
    let Locked { mut tasks, mut unreadable, now } = store::find_and_lock(conn, &[Id(id.0)])?;
    if let Some(task) = unreadable.pop().filter(|task| task.owner == owner) {
        if !store::mark_unreadable_deleted(conn, id, now)? {
            return Ok(Deleted::Unreadable(task.detail()));
        }
    } else {
        let Some(task) = tasks.remove(&id).filter(|task| task.owner == owner) else {
            return Ok(Deleted::NotFound);
        };
        if !store::mark_deleted(conn, id, now)? {
            return Ok(Deleted::WrongState(task.state));
        }
    }
    file_statistics::store::remove(conn, id)?;
    messages::store::remove(conn, id)?;
    user_events::store::remove(conn, id)?;
    Ok(Deleted::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::task::spec::TaskSpec;
    use diesel::prelude::*;
    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;
    use crate::backend::Backend;
    use crate::db;
    use crate::db::own::{OwnDatabase, until_another_locks};
    use crate::db::schema::tasks;

    const OWNER: UserId = UserId(Uuid::nil());

    /// A worker claims the task, and commits while the deletion waits for its lock.
    #[tokio::test]
    async fn a_refused_deletion_names_the_state_in_which_it_found_the_task() {
        let OwnDatabase { db, test, folder: _folder } = OwnDatabase::migrated(Backend::Fleet).await;
        let id = TaskId::new();
        let insert = db.write(move |conn| {
            let now = db::now(conn)?;
            let spec = TaskSpec::FileStatistics;
            store::insert_initializing(conn, id, OWNER, &spec, "a.txt", now, now)
        });
        insert.await.unwrap();
        let (is_changed, test) = (Arc::new(Notify::new()), Arc::new(test));
        let holder = {
            let (db, test) = (db.clone(), Arc::clone(&test));
            let is_changed = Arc::clone(&is_changed);
            tokio::spawn(async move {
                db.write(move |conn| {
                    let state = tasks::state.eq(TaskState::Processing.as_str());
                    diesel::update(tasks::table).set(state).execute(conn)?;
                    is_changed.notify_one();
                    until_another_locks(conn, &test);
                    Ok(())
                })
                .await
            })
        };
        is_changed.notified().await;
        let refused = delete(&db, OWNER, id).await;
        holder.await.unwrap().unwrap();
        let state = match refused {
            Err(Error::InvalidState { state, .. }) => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(state, TaskState::Processing);
    }
}
