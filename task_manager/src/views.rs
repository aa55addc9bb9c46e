//! Tasks as clients see them.

pub mod counts;
pub mod failures;
pub mod throughput;
pub mod timeline;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use common::clock;
use common::report::WorkerId;
use common::task::{
    TaskId, TaskKind, TaskLinks, TaskOwner, TaskState, TaskView, TaskWorker, UserId,
};
use serde_json::Value;

use crate::accounts::{LOCAL_USER, users};
use crate::db::{DbConnection, DbError, DbResult, Id};
use crate::tasks::unreadable::ReadTask;
use crate::tasks::{Task, limits, store, utc};
use crate::{kinds, workers};

/// Queue positions are counted up to this one.
pub const MAX_QUEUE_POSITION: u64 = 1_000;

/// The name of the user whose requests need no login.
const LOCAL_USERNAME: &str = "local";

/// The names of workers that are still in the registry.
type WorkerNames = HashMap<WorkerId, String>;

/// The names of the workers of tasks: one query for any number of them, none without workers.
fn worker_names(
    conn: &mut DbConnection,
    workers: impl Iterator<Item = Option<WorkerId>>,
) -> DbResult<WorkerNames> {
    let distinct: BTreeSet<WorkerId> = workers.flatten().collect();
    let ids: Vec<Id> = distinct.into_iter().map(|id| Id(id.0)).collect();
    workers::store::names(conn, &ids)
}

fn worker_view(id: WorkerId, names: &WorkerNames) -> TaskWorker {
    TaskWorker { worker_id: id.0, name: names.get(&id).cloned() }
}

/// The view of a task; `queue_position` counts from 1, if known.
fn view_at(task: Task, queue_position: Option<u64>, names: &WorkerNames) -> TaskView {
    let timestamp = clock::now();
    let queued = task.state == TaskState::Queued;
    let links = links(&task);
    let result_so_far = kinds::of(task.kind()).result_so_far(&task);
    let duration = duration(&task, timestamp);
    let heartbeat_at = utc(task.heartbeat_at());
    TaskView {
        task_id: task.id,
        kind: task.kind().into(),
        state: task.state,
        attempt: task.attempt,
        failures: task.failures,
        max_attempts: limits::MAX_ATTEMPTS,
        progress: task.progress,
        queue_position,
        queue_position_over: (queued && queue_position.is_none()).then_some(MAX_QUEUE_POSITION),
        size: task.input.as_ref().map(|input| input.size),
        file_name: task.input.map(|input| input.file_name),
        created_at: task.created_at.and_utc(),
        queued_at: utc(task.queued_at),
        started_at: utc(task.started_at),
        finished_at: utc(task.finished_at),
        duration,
        heartbeat_at,
        worker: task.worker.map(|worker| worker_view(worker, names)),
        owner: None,
        parameters: task.spec.parameters(),
        error: task.error,
        result: task.result.or(result_so_far),
        timestamp,
        links,
    }
}

/// The seconds since a worker first claimed the task, until its end.
fn duration(task: &Task, now: DateTime<Utc>) -> Option<f64> {
    let end = task.finished_at.unwrap_or(now.naive_utc());
    let span = end - task.started_at?;
    Some(span.num_microseconds()?.max(0) as f64 / 1_000_000.0)
}

fn links(task: &Task) -> TaskLinks {
    let (id, kind) = (task.id, kinds::of(task.kind()));
    let ready = task.state == TaskState::Processed && !task.files_removed;
    let output = task.output.as_ref().filter(|_| ready);
    let action = |verb: &str, next: TaskState| {
        task.state.can_become(next).then(|| format!("/v1/tasks/{id}/{verb}"))
    };
    let is_interrupted = matches!(task.state, TaskState::Killed | TaskState::Failed);
    TaskLinks {
        this: format!("/v1/tasks/{id}"),
        download: output.map(|_| format!("/v1/data_processor/download/{id}")),
        preview: output.map(|_| format!("/v1/data_processor/preview/{id}")),
        rejected: output
            .filter(|output| output.has_rejected)
            .map(|_| format!("/v1/data_processor/rejected/{id}"))
            .or_else(|| kind.rejected_link(task)),
        report: kind.report_link().map(str::to_owned),
        events: Some(format!("/v1/tasks/{id}/events")),
        timeline: Some(format!("/v1/tasks/{id}/timeline")),
        stop: action("stop", TaskState::Stopping),
        kill: action("kill", TaskState::Killed),
        resume: action("resume", TaskState::Queued)
            .filter(|_| is_interrupted && !task.files_removed),
        delete: task.state.is_ended().then(|| format!("/v1/tasks/{id}")),
        run_again: task
            .kept_input()
            .filter(|_| task.state.is_ended())
            .map(|_| format!("/v1/tasks/{id}/run_again")),
    }
}

/// The views of `tasks`, with their queue positions. A task whose state cannot be read has none.
pub fn views(conn: &mut DbConnection, tasks: Vec<ReadTask>) -> DbResult<Vec<TaskView>> {
    let readable = tasks.iter().filter_map(|task| task.as_ref().ok());
    let names = worker_names(conn, readable.map(|task| task.worker))?;
    let mut positions: HashMap<TaskKind, HashMap<TaskId, u64>> = HashMap::new();
    let mut views = Vec::with_capacity(tasks.len());
    for task in tasks {
        let task = match task {
            Ok(task) => task,
            Err(unreadable) => {
                views.extend(unreadable.view());
                continue;
            }
        };
        let position = match task.state {
            TaskState::Queued => {
                let positions = match positions.entry(task.kind()) {
                    Entry::Occupied(positions) => positions.into_mut(),
                    Entry::Vacant(positions) => {
                        let first = store::first_in_queue(conn, task.kind(), MAX_QUEUE_POSITION)?;
                        positions.insert(first.into_iter().zip(1..).collect())
                    }
                };
                positions.get(&task.id).copied()
            }
            _ => None,
        };
        views.push(view_at(task, position, &names));
    }
    Ok(views)
}

/// The same for an administrator.
pub fn views_for_administrator(
    conn: &mut DbConnection,
    viewer: UserId,
    tasks: Vec<ReadTask>,
) -> DbResult<Vec<TaskView>> {
    let owner = |task: &ReadTask| match task {
        Ok(task) => (task.id, task.owner),
        Err(task) => (task.id, task.owner),
    };
    let owners: HashMap<TaskId, UserId> = tasks.iter().map(owner).collect();
    let distinct: BTreeSet<UserId> = owners.values().copied().collect();
    let ids: Vec<Id> = distinct.into_iter().map(|id| Id(id.0)).collect();
    let names = users::names(conn, &ids)?;
    let mut views = views(conn, tasks)?;
    for view in &mut views {
        if let Some(owner) = owners.get(&view.task_id) {
            show_to_administrator(view, owner_view(*owner, &names), viewer);
        }
    }
    Ok(views)
}

/// Completes a view for an administrator: adds the owner, and removes what only the owner may see:
/// the links of files, and the rows of a file in its preview.
pub fn show_to_administrator(view: &mut TaskView, owner: TaskOwner, viewer: UserId) {
    if owner.user_id != viewer.0 {
        view.links.download = None;
        view.links.rejected = None;
        view.links.preview = None;
        view.links.run_again = None;
        if view.kind == TaskKind::CsvPreview
            && let Some(rows) = view.result.as_mut().and_then(|result| result.get_mut("rows"))
        {
            *rows = Value::Array(Vec::new());
        }
    }
    view.owner = Some(owner);
}

/// A user as the owner of tasks.
pub fn owner(conn: &mut DbConnection, id: UserId) -> DbResult<TaskOwner> {
    let names = users::names(conn, &[Id(id.0)])?;
    Ok(owner_view(id, &names))
}

fn owner_view(id: UserId, names: &HashMap<UserId, String>) -> TaskOwner {
    let name = match id {
        LOCAL_USER => Some(LOCAL_USERNAME.to_owned()),
        id => names.get(&id).cloned(),
    };
    TaskOwner { user_id: id.0, username: name }
}

/// The view of one task, with its queue position.
pub fn view(conn: &mut DbConnection, task: Task) -> DbResult<TaskView> {
    let position = match task.state {
        TaskState::Queued => store::queue_position(conn, &task, MAX_QUEUE_POSITION)?,
        _ => None,
    };
    let names = worker_names(conn, [task.worker].into_iter())?;
    Ok(view_at(task, position, &names))
}

/// The view of one task, readable or not.
///
/// # Errors
/// [`DbError::UnreadableTask`] if its state cannot be read.
pub fn view_any(conn: &mut DbConnection, task: ReadTask) -> DbResult<TaskView> {
    match task {
        Ok(task) => view(conn, task),
        Err(unreadable) => {
            let detail = unreadable.detail();
            unreadable.view().ok_or(DbError::UnreadableTask(detail))
        }
    }
}

/// The views of tasks of one kind that were just submitted together: they are adjacent in the
/// queue, so that one query gives the positions of all.
pub fn of_submitted(conn: &mut DbConnection, tasks: Vec<Task>) -> DbResult<Vec<TaskView>> {
    let Some(first) = tasks.first() else { return Ok(Vec::new()) };
    let first = store::queue_position(conn, first, MAX_QUEUE_POSITION)?;
    let position = |offset: u64| {
        first.map(|first| first + offset).filter(|position| *position <= MAX_QUEUE_POSITION)
    };
    let view = |(offset, task)| view_at(task, position(offset), &WorkerNames::new());
    Ok((0..).zip(tasks).map(view).collect())
}
