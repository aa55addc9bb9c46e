//! SQL on `task_attempts`. No function opens a transaction.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use common::report::WorkerId;
use common::task::TaskId;
use diesel::prelude::*;
use serde::Serialize;

use super::AttemptOutcome;
use crate::db::schema::task_attempts;
use crate::db::{DbConnection, DbResult, Id, insert_records, json_time};
use crate::tasks::Task;
use crate::tasks::store::signed;

/// MySQL's statement for several records.
const FROM_JSON: &str = "\
    INSERT INTO task_attempts (task_id, attempt, worker, queued_at, started_at, ended_at, outcome, \
                               reason) \
    SELECT UNHEX(ended.task_id), ended.attempt, UNHEX(ended.worker), ended.queued_at, \
           ended.started_at, ended.ended_at, ended.outcome, ended.reason \
    FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
        task_id CHAR(32) PATH '$.task_id', \
        attempt INT PATH '$.attempt', \
        worker CHAR(32) PATH '$.worker', \
        queued_at CHAR(26) PATH '$.queued_at', \
        started_at CHAR(26) PATH '$.started_at', \
        ended_at CHAR(26) PATH '$.ended_at', \
        outcome CHAR(16) PATH '$.outcome', \
        reason MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$.reason')) AS ended";

/// An ended attempt.
#[derive(Debug, Clone, Insertable, Serialize)]
#[diesel(table_name = task_attempts, treat_none_as_default_value = false)]
pub struct EndedAttempt {
    task_id: Id,
    attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<Id>,
    #[serde(serialize_with = "json_time::optional", skip_serializing_if = "Option::is_none")]
    queued_at: Option<NaiveDateTime>,
    #[serde(serialize_with = "json_time::optional", skip_serializing_if = "Option::is_none")]
    started_at: Option<NaiveDateTime>,
    #[serde(serialize_with = "json_time::serialize")]
    ended_at: NaiveDateTime,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl EndedAttempt {
    /// The current attempt of `task`.
    pub fn of(
        task: &Task,
        outcome: AttemptOutcome,
        reason: Option<&str>,
        now: NaiveDateTime,
    ) -> Self {
        Self {
            task_id: Id(task.id.0),
            attempt: signed(task.attempt),
            worker: task.worker.map(|worker| Id(worker.0)),
            queued_at: task.queued_at,
            started_at: task.attempt_started_at,
            ended_at: now,
            outcome: outcome.as_str(),
            reason: reason.map(str::to_owned),
        }
    }
}

/// Adds attempts to the history.
pub fn add(conn: &mut DbConnection, ended: &[EndedAttempt]) -> DbResult<()> {
    if !ended.is_empty() {
        insert_records!(conn, task_attempts::table, ended, FROM_JSON)?;
    }
    Ok(())
}

/// An entry of the history.
#[derive(Debug, Clone)]
pub struct PastAttempt {
    pub attempt: u32,
    pub worker: Option<WorkerId>,
    /// When the task was queued before it; none if an older version wrote the entry.
    pub queued_at: Option<NaiveDateTime>,
    pub started_at: Option<NaiveDateTime>,
    pub ended_at: NaiveDateTime,
    /// None for an outcome of another version.
    pub outcome: Option<AttemptOutcome>,
    pub reason: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = task_attempts)]
struct AttemptRow {
    attempt: i32,
    worker: Option<Id>,
    queued_at: Option<NaiveDateTime>,
    started_at: Option<NaiveDateTime>,
    ended_at: NaiveDateTime,
    outcome: String,
    reason: Option<String>,
}

/// The latest attempts of a task, at most `limit` of them, in order.
pub fn latest(conn: &mut DbConnection, id: TaskId, limit: i64) -> DbResult<Vec<PastAttempt>> {
    let rows: Vec<AttemptRow> = task_attempts::table
        .filter(task_attempts::task_id.eq(Id(id.0)))
        .order(task_attempts::attempt.desc())
        .limit(limit)
        .select(AttemptRow::as_select())
        .load(conn)?;
    let read = |row: AttemptRow| PastAttempt {
        attempt: u32::try_from(row.attempt).unwrap_or_default(),
        worker: row.worker.map(|id| WorkerId(id.0)),
        queued_at: row.queued_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        outcome: row.outcome.parse().ok(),
        reason: row.reason,
    };
    Ok(rows.into_iter().rev().map(read).collect())
}

/// How an earlier attempt ended, if it has.
pub fn outcome(conn: &mut DbConnection, id: TaskId, attempt: u32) -> DbResult<Option<String>> {
    let outcome = task_attempts::table
        .find((Id(id.0), signed(attempt)))
        .select(task_attempts::outcome)
        .first(conn)
        .optional()?;
    Ok(outcome)
}

/// The tasks that lost a lease in an earlier attempt.
pub fn with_lost_lease(conn: &mut DbConnection, ids: &[Id]) -> DbResult<HashSet<TaskId>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<Id> = task_attempts::table
        .filter(task_attempts::task_id.eq_any(ids))
        .filter(task_attempts::outcome.eq(AttemptOutcome::LeaseLost.as_str()))
        .select(task_attempts::task_id)
        .load(conn)?;
    Ok(found.into_iter().map(|id| TaskId(id.0)).collect())
}
