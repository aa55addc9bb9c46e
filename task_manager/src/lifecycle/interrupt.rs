//! Interrupts by users: stop, kill and resume.
//!
//! # Invariants
//! - An interrupt and a completion race by compare-and-swap: the first commit wins.
//! - A committed interrupt is final for the data, since it takes the fence away.
//! - Repeating one that is already in effect changes nothing and succeeds.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskState, TaskView, UserId};

use crate::db::{Database, DbConnection, DbResult, Id};
use crate::error::Error;
use crate::kinds;
use crate::tasks::attempts::{AttemptEnd, AttemptOutcome};
use crate::tasks::end::TaskEnd;
use crate::tasks::store::{self, Locked};
use crate::tasks::{Task, transitions};
use crate::views::view;

/// An interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ends the task and rolls back its data.
    Stop,
    /// Ends the task and keeps its data.
    Kill,
    /// Queues the task again.
    Resume,
}

impl Interrupt {
    fn is_in_effect(self, state: TaskState) -> bool {
        match self {
            Self::Stop => matches!(state, TaskState::Stopping | TaskState::Stopped),
            Self::Kill => state == TaskState::Killed,
            Self::Resume => matches!(state, TaskState::Queued | TaskState::Processing),
        }
    }

    /// Whether it changes a task in this state.
    pub fn is_permitted(self, state: TaskState) -> bool {
        match self {
            Self::Stop => state.can_become(TaskState::Stopping),
            Self::Kill => state.can_become(TaskState::Killed),
            Self::Resume => matches!(state, TaskState::Killed | TaskState::Failed),
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

/// A task after an interrupt.
#[derive(Debug)]
pub struct Interrupted {
    pub task: TaskView,
    /// The row at which it resumes, if it is waiting to.
    pub resumes_from_row: Option<u64>,
    ends: Option<Ends>,
}

/// What an interrupt has ended.
#[derive(Debug)]
struct Ends {
    task: TaskEnd,
    attempt: Option<AttemptEnd>,
}

impl Ends {
    fn of(task: &Task, interrupt: Interrupt, now: NaiveDateTime) -> Option<Self> {
        let (state, outcome) = match interrupt {
            Interrupt::Stop => (TaskState::Stopped, AttemptOutcome::Stopped),
            Interrupt::Kill => (TaskState::Killed, AttemptOutcome::Killed),
            Interrupt::Resume => return None,
        };
        let was_running = task.state == TaskState::Processing;
        let attempt = was_running.then(|| AttemptEnd::of(task, outcome, None, now));
        Some(Self { task: TaskEnd::of(task, state, None), attempt })
    }

    fn count(self) {
        self.task.count();
        if let Some(attempt) = self.attempt {
            attempt.count();
        }
    }
}

enum Attempted {
    Done(Box<Interrupted>),
    NotFound,
    WrongState(TaskState),
    FilesGone,
    Unreadable(String),
}

/// Interrupts a task of `owner`; returns its new state.
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
            let mut ends = None;
            if !interrupt.is_in_effect(task.state) {
                let is_done = match interrupt {
                    Interrupt::Stop => end(conn, &task, TaskState::Stopping, now)?,
                    Interrupt::Kill => end(conn, &task, TaskState::Killed, now)?,
                    Interrupt::Resume if task.files_removed => return Ok(Attempted::FilesGone),
                    Interrupt::Resume => transitions::resume(conn, &task, now)?,
                };
                if !is_done {
                    return Ok(Attempted::WrongState(task.state));
                }
                ends = Ends::of(&task, interrupt, now);
            }
            match store::find(conn, id)? {
                Some(task) => {
                    let is_queued = task.state == TaskState::Queued;
                    let resumes_from_row = task.resumes_from_row().filter(|_| is_queued);
                    let task = view(conn, task)?;
                    Ok(Attempted::Done(Box::new(Interrupted { task, resumes_from_row, ends })))
                }
                None => Ok(Attempted::NotFound),
            }
        })
        .await?;
    match attempted {
        Attempted::Done(mut interrupted) => {
            if let Some(ends) = interrupted.ends.take() {
                ends.count();
            }
            Ok(*interrupted)
        }
        Attempted::NotFound => Err(Error::TaskNotFound),
        Attempted::FilesGone => Err(Error::Expired),
        Attempted::Unreadable(detail) => Err(Error::UnreadableTask(detail)),
        Attempted::WrongState(state) => {
            Err(Error::InvalidState { id, state, rule: interrupt.rule() })
        }
    }
}

/// Ends a task as `next`; the progress of a rollback starts at zero.
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
