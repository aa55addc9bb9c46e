//! Stop, kill, resume: a user interrupts a task.
//!
//! # Invariants
//! - An interrupt and a completion race by compare-and-swap: the first commit wins.
//! - An interrupt is final for the data when it is committed, since it takes the fence away.
//! - Repeating one that is already in effect changes nothing and succeeds.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState, TaskView, UserId};

use crate::db::{Database, DbConnection, DbResult, Id};
use crate::error::Error;
use crate::kinds;
use crate::tasks::store::{self, Locked};
use crate::tasks::{Task, transitions};
use crate::views::view;

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

    fn rule(self) -> &'static str {
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
            Err(Error::InvalidState { id, state, rule: interrupt.rule() })
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
        && let Some(progress) = kinds::of(task.kind()).rollback_progress(task)?
    {
        store::set_progress(conn, task.id, &progress)?;
    }
    Ok(true)
}
