//! The columns of `tasks`, and how rows are parsed.

use chrono::NaiveDateTime;
use common::problem::Problem;
use common::report::{InputFile, LoadCheckpoint, Output, WorkerId};
use common::task::spec::TaskSpec;
use common::task::{KindName, Progress, TaskId, TaskKind, TaskState, UserId};
use diesel::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::db::Id;
use crate::db::schema::tasks;
use crate::tasks::Task;
use crate::tasks::unreadable::{ReadTask, Unreadable};

#[derive(Queryable, Selectable)]
#[diesel(table_name = tasks)]
pub(super) struct TaskRow {
    id: Id,
    owner: Id,
    kind: String,
    state: String,
    spec: String,
    attempt: i32,
    dispatch: i32,
    failures: i32,
    exclusive: bool,
    worker: Option<Id>,
    leased_until: Option<NaiveDateTime>,
    progress: Option<String>,
    checkpoint: Option<String>,
    file_name: Option<String>,
    size: Option<i64>,
    sha256: Option<String>,
    output: Option<String>,
    output_attempt: Option<i32>,
    result: Option<String>,
    error: Option<String>,
    created_at: NaiveDateTime,
    changed_at: NaiveDateTime,
    queued_at: Option<NaiveDateTime>,
    started_at: Option<NaiveDateTime>,
    attempt_started_at: Option<NaiveDateTime>,
    finished_at: Option<NaiveDateTime>,
    files_removed: bool,
}

/// The parsed columns of a row.
struct Parsed {
    state: TaskState,
    spec: TaskSpec,
    attempt: u32,
    dispatch: u32,
    failures: u32,
    progress: Option<Progress>,
    checkpoint: Option<Value>,
    size: Option<u64>,
    output: Option<Output>,
    output_attempt: Option<u32>,
    result: Option<Value>,
    error: Option<Problem>,
}

/// Reads each row separately, so that an unreadable one affects no other.
pub(super) fn read_rows(rows: impl IntoIterator<Item = TaskRow>) -> Vec<ReadTask> {
    rows.into_iter().map(read).collect()
}

/// Reads a row; logs one that cannot be read.
pub(super) fn read(row: TaskRow) -> ReadTask {
    match parse(&row) {
        Ok(parsed) => Ok(task(row, parsed)),
        Err(reason) => {
            let unreadable = unreadable(row, reason);
            unreadable.log();
            Err(Box::new(unreadable))
        }
    }
}

/// # Errors
/// What is unreadable, in words.
fn parse(row: &TaskRow) -> Result<Parsed, String> {
    let of_another = |what: &str, name: &str| format!("The task's {what} is `{name}`");
    let kind: TaskKind = row.kind.parse().map_err(|_| of_another("kind", &row.kind))?;
    let state = row.state.parse().map_err(|_| of_another("state", &row.state))?;
    if let (TaskKind::DataUpload, Some(checkpoint)) = (kind, &row.checkpoint) {
        json::<LoadCheckpoint>("checkpoint", checkpoint)?;
    }
    Ok(Parsed {
        state,
        spec: json("spec", &row.spec)?,
        attempt: count("attempt", row.attempt)?,
        dispatch: count("dispatch", row.dispatch)?,
        failures: count("failures", row.failures)?,
        progress: optional_json("progress", row.progress.as_deref())?,
        checkpoint: optional_json("checkpoint", row.checkpoint.as_deref())?,
        size: row.size.map(|size| count("size", size)).transpose()?,
        output: optional_json("output", row.output.as_deref())?,
        output_attempt: row.output_attempt.map(|it| count("output_attempt", it)).transpose()?,
        result: optional_json("result", row.result.as_deref())?,
        error: optional_json("error", row.error.as_deref())?,
    })
}

fn count<T: Copy + std::fmt::Display, N: TryFrom<T>>(column: &str, value: T) -> Result<N, String> {
    N::try_from(value).map_err(|_| format!("its {column} is {value}"))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its {column} does not parse ({error})"))
}

fn optional_json<T: DeserializeOwned>(
    column: &str,
    text: Option<&str>,
) -> Result<Option<T>, String> {
    text.map(|text| json(column, text)).transpose()
}

fn task(row: TaskRow, parsed: Parsed) -> Task {
    Task {
        id: TaskId(row.id.0),
        owner: UserId(row.owner.0),
        state: parsed.state,
        spec: parsed.spec,
        attempt: parsed.attempt,
        dispatch: parsed.dispatch,
        failures: parsed.failures,
        exclusive: row.exclusive,
        worker: row.worker.map(|id| WorkerId(id.0)),
        leased_until: row.leased_until,
        progress: parsed.progress,
        checkpoint: parsed.checkpoint,
        input: match (row.file_name, parsed.size, row.sha256) {
            (Some(file_name), Some(size), Some(sha256)) => {
                Some(InputFile { file_name, size, sha256 })
            }
            // Still being uploaded: only the name is known.
            (Some(file_name), ..) => Some(InputFile { file_name, size: 0, sha256: String::new() }),
            (None, ..) => None,
        },
        output: parsed.output,
        output_attempt: parsed.output_attempt,
        result: parsed.result,
        error: parsed.error,
        created_at: row.created_at,
        changed_at: row.changed_at,
        queued_at: row.queued_at,
        started_at: row.started_at,
        attempt_started_at: row.attempt_started_at,
        finished_at: row.finished_at,
        files_removed: row.files_removed,
    }
}

fn unreadable(row: TaskRow, reason: String) -> Unreadable {
    Unreadable {
        id: TaskId(row.id.0),
        owner: UserId(row.owner.0),
        kind: KindName::from(row.kind),
        state: row.state.parse().ok(),
        attempt: row.attempt,
        failures: row.failures,
        file_name: row.file_name,
        size: row.size,
        created_at: row.created_at,
        changed_at: row.changed_at,
        queued_at: row.queued_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        reason,
    }
}
