//! Failed tasks by the code of their error, as clients see them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::task::{TaskId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{DbConnection, DbResult, Id};
use crate::tasks::store::{self, Failures, Filter};
use crate::tasks::{Task, utc};

/// At most so many codes are listed.
const MAX_CODES: i64 = 100;

/// The causes of failed tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureList {
    /// At most 100, the most frequent first.
    items: Vec<FailureGroup>,
}

/// The tasks that failed with the same code.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureGroup {
    /// The code of their error.
    #[schema(example = "bad_rows")]
    code: String,
    /// The title of the example's error.
    title: Option<String>,
    /// How many there are.
    count: u64,
    /// When one last failed.
    last_at: Option<DateTime<Utc>>,
    /// The newest of them; `null` if it has just been deleted.
    example: Option<FailedTask>,
}

/// A failed task.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailedTask {
    task_id: TaskId,
    /// The name of its file.
    file_name: Option<String>,
    /// Why it failed.
    detail: Option<String>,
}

/// The failures of `owner` or, without one, of all users.
pub fn failures(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    filter: &Filter,
) -> DbResult<FailureList> {
    let groups = store::failures(conn, owner, filter, MAX_CODES)?;
    let examples: Vec<Id> = groups.iter().map(|group| group.example).collect();
    let tasks = store::find_by_ids(conn, &examples)?.into_iter().flatten();
    let mut tasks: HashMap<TaskId, Task> = tasks.map(|task| (task.id, task)).collect();
    let items = groups.into_iter().map(|Failures { code, count, last_at, example }| {
        let task = tasks.remove(&TaskId(example.0));
        let (title, example) = task.map(failed).unzip();
        FailureGroup { code, title: title.flatten(), count, last_at: utc(last_at), example }
    });
    Ok(FailureList { items: items.collect() })
}

fn failed(task: Task) -> (Option<String>, FailedTask) {
    let (title, detail) = task.error.map(|error| (error.title, error.detail)).unzip();
    let file_name = task.input.map(|input| input.file_name);
    (title, FailedTask { task_id: task.id, file_name, detail })
}
