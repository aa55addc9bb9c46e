//! SQL on `tasks` for batches of reports. No function opens a transaction; the caller has locked
//! the tasks and checked that the reports hold the fence.

use chrono::NaiveDateTime;
use common::report::Output;
use common::task::TaskState;
use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::db::schema::tasks;
use crate::db::{
    DbConnection, DbError, DbResult, Id, execute_cached, json_time, one_of, update_all,
};
use crate::tasks::Task;
use crate::tasks::store::{signed, to_json};

/// Up to so many tasks are faster to end one by one: for more, MySQL fills a temporary table.
const FEW: usize = 3;

/// MySQL's statement to end many tasks, which looks them up by their ids.
const COMPLETE_FROM_JSON: &str = "\
    UPDATE JSON_TABLE(?, '$[*]' COLUMNS ( \
        id CHAR(32) PATH '$.id', \
        result MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$.result', \
        output MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$.output', \
        output_attempt INT PATH '$.output_attempt', \
        finished_at CHAR(26) PATH '$.finished_at')) AS completed \
    STRAIGHT_JOIN tasks ON tasks.id = UNHEX(completed.id) \
    SET tasks.state = 'processed', tasks.leased_until = NULL, tasks.checkpoint = NULL, \
        tasks.result = completed.result, tasks.output = completed.output, \
        tasks.output_attempt = completed.output_attempt, \
        tasks.finished_at = completed.finished_at, tasks.changed_at = completed.finished_at \
    WHERE tasks.state = 'processing'";

/// A completed task.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CompletedTask {
    id: Id,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_attempt: Option<i32>,
    #[serde(serialize_with = "json_time::serialize")]
    finished_at: NaiveDateTime,
}

impl CompletedTask {
    pub(super) fn of(
        task: &Task,
        result: &Value,
        output: Option<&Output>,
        now: NaiveDateTime,
    ) -> DbResult<Self> {
        Ok(Self {
            id: Id(task.id.0),
            result: to_json(result)?,
            output: output.map(to_json).transpose()?,
            output_attempt: output.map(|_| signed(task.attempt)),
            finished_at: now,
        })
    }
}

/// Ends tasks that are `processing` with their results.
pub(super) fn complete(conn: &mut DbConnection, completed: &[CompletedTask]) -> DbResult<()> {
    if completed.is_empty() {
        return Ok(());
    }
    let at_once = match completed.len() > FEW {
        true => update_all(conn, COMPLETE_FROM_JSON, completed)?,
        false => None,
    };
    let ended = match at_once {
        Some(ended) => ended,
        None => one_by_one(conn, completed)?,
    };
    if ended != completed.len() {
        return Err(DbError::corrupt("tasks that are locked were changed by others"));
    }
    Ok(())
}

fn one_by_one(conn: &mut DbConnection, completed: &[CompletedTask]) -> DbResult<usize> {
    let mut ended = 0;
    for task in completed {
        ended += execute_cached!(
            conn,
            diesel::update(tasks::table.find(task.id))
                .filter(tasks::state.eq(TaskState::Processing.as_str()))
                .set((
                    tasks::state.eq(TaskState::Processed.as_str()),
                    tasks::leased_until.eq(None::<NaiveDateTime>),
                    tasks::checkpoint.eq(None::<String>),
                    tasks::result.eq(&task.result),
                    tasks::output.eq(&task.output),
                    tasks::output_attempt.eq(task.output_attempt),
                    tasks::finished_at.eq(task.finished_at),
                    tasks::changed_at.eq(task.finished_at),
                ))
        )?;
    }
    Ok(ended)
}

/// Renews leases.
pub(super) fn renew(conn: &mut DbConnection, ids: &[Id], until: NaiveDateTime) -> DbResult<()> {
    if !ids.is_empty() {
        execute_cached!(
            conn,
            diesel::update(tasks::table.filter(one_of(tasks::id, ids)))
                .set(tasks::leased_until.eq(until))
        )?;
    }
    Ok(())
}
