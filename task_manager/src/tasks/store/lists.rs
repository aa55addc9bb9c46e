//! Lists of tasks, and queue positions.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskKind, TaskState, UserId};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::names;
use super::rows::{TaskRow, read_rows};
use crate::db::schema::tasks;
use crate::db::{DbConnection, DbError, DbResult, Id, count_of, known_kind, moment};
use crate::folding::fold;
use crate::paging::{Cursor, after_cursor};
use crate::tasks::Task;
use crate::tasks::unreadable::ReadTask;

/// The filter of a list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub state: Vec<TaskState>,
    pub kind: Option<TaskKind>,
    /// Part of the file's name, in any spelling (`folding`), or the id.
    pub text: Option<String>,
    /// Created at or after.
    pub from: Option<NaiveDateTime>,
    /// Created before.
    pub to: Option<NaiveDateTime>,
    /// Older than the last task of the previous page.
    pub before: Option<Cursor>,
}

/// At most `limit` tasks of `owner`, newest first.
pub fn list(
    conn: &mut DbConnection,
    owner: UserId,
    filter: &Filter,
    limit: i64,
) -> DbResult<Vec<ReadTask>> {
    let mut query = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        .filter(tasks::deleted.eq(false))
        // By a column that no other index sorts by, or a database would use that index and skip
        // over the tasks of all other users.
        .order((tasks::created_at.desc(), tasks::id.desc()))
        .limit(limit)
        .select(TaskRow::as_select())
        .into_boxed();
    if !filter.state.is_empty() {
        query = query.filter(tasks::state.eq_any(names(filter.state.iter().copied())));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(tasks::kind.eq(kind.as_str()));
    }
    if let Some(text) = &filter.text {
        // A task of an older version may not have its key yet (`file_names`).
        let name = coalesce(tasks::file_name_key, lower(tasks::file_name));
        match text.parse::<TaskId>() {
            Ok(id) => query = query.filter(tasks::id.eq(Id(id.0))),
            Err(_) => query = query.filter(instr(name, fold(text)).gt(0)),
        }
    }
    if let Some(from) = filter.from {
        query = query.filter(tasks::created_at.ge(moment(from)));
    }
    if let Some(to) = filter.to {
        query = query.filter(tasks::created_at.lt(moment(to)));
    }
    if let Some(before) = filter.before {
        query = query.filter(after_cursor!(before, tasks::created_at, tasks::id));
    }
    Ok(read_rows(query.load(conn)?))
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn lower(text: Nullable<Text>) -> Nullable<Text>;
    fn coalesce(text: Nullable<Text>, other: Nullable<Text>) -> Nullable<Text>;
    /// The position of a text in another one, from 1; 0 if it does not occur. There are no
    /// wildcards.
    fn instr(text: Nullable<Text>, part: Text) -> Nullable<diesel::sql_types::BigInt>;
}

/// A task with the name of its file, and the folded name that filters compare.
pub type FileNameRow = (TaskId, Option<String>, Option<String>);

/// At most `limit` tasks after an id, in order.
pub fn with_file_names_after(
    conn: &mut DbConnection,
    id: TaskId,
    limit: i64,
) -> DbResult<Vec<FileNameRow>> {
    let found: Vec<(Id, Option<String>, Option<String>)> = tasks::table
        .filter(tasks::id.gt(Id(id.0)))
        .order(tasks::id)
        .limit(limit)
        .select((tasks::id, tasks::file_name, tasks::file_name_key))
        .load(conn)?;
    Ok(found.into_iter().map(|(id, name, key)| (TaskId(id.0), name, key)).collect())
}

/// The tasks of `owner` that changed after the one of `since`, or at the same time with a greater
/// id; oldest change first, including deleted ones.
pub fn changed_since(
    conn: &mut DbConnection,
    owner: UserId,
    since: Cursor,
    limit: i64,
) -> DbResult<Vec<(TaskId, NaiveDateTime)>> {
    let changed: Vec<(Id, NaiveDateTime)> = tasks::table
        .filter(tasks::owner.eq(Id(owner.0)))
        // Implied by the next condition, but lets a database find its start in the index.
        .filter(tasks::changed_at.ge(moment(since.time)))
        .filter(tasks::changed_at.gt(moment(since.time)).or(tasks::id.gt(Id(since.id))))
        .order((tasks::changed_at, tasks::id))
        .limit(limit)
        .select((tasks::id, tasks::changed_at))
        .load(conn)?;
    Ok(changed.into_iter().map(|(id, changed_at)| (TaskId(id.0), changed_at)).collect())
}

/// The first `limit` queued tasks of a kind, in order.
pub fn first_in_queue(
    conn: &mut DbConnection,
    kind: TaskKind,
    limit: u64,
) -> DbResult<Vec<TaskId>> {
    let found = tasks::table
        .filter(tasks::kind.eq(kind.as_str()))
        .filter(tasks::state.eq(TaskState::Queued.as_str()))
        .order((tasks::queued_at, tasks::id))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(tasks::id)
        .load(conn)?;
    Ok(ids(found))
}

/// Up to so many tasks ahead of another one are read and counted here. MySQL fills a temporary
/// table to count rows up to a limit, which takes three times as long for a few.
const FEW: i64 = 64;

/// The queue position of a task, from 1; none beyond `limit`.
pub fn queue_position(conn: &mut DbConnection, task: &Task, limit: u64) -> DbResult<Option<u64>> {
    let queued_at = task.queued_at.unwrap_or(task.created_at);
    // In any order: the database would sort them before counting.
    let ahead = |limit: i64| {
        tasks::table
            .filter(tasks::kind.eq(task.kind().as_str()))
            .filter(tasks::state.eq(TaskState::Queued.as_str()))
            .filter(
                tasks::queued_at
                    .lt(queued_at)
                    .or(tasks::queued_at.eq(queued_at).and(tasks::id.lt(Id(task.id.0)))),
            )
            .limit(limit)
            .select(tasks::id)
    };
    let few = ahead(FEW).load::<Id>(conn)?.len() as i64;
    let count: i64 = match few {
        FEW => count_of(ahead(i64::try_from(limit).unwrap_or(i64::MAX))).get_result(conn)?,
        few => few,
    };
    let position = u64::try_from(count).map_err(DbError::corrupt)? + 1;
    Ok((position <= limit).then_some(position))
}

/// At most `limit` tasks in `state` of kinds that this version knows, oldest first, after `after`.
pub fn in_state(
    conn: &mut DbConnection,
    state: TaskState,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let mut query = tasks::table
        .filter(tasks::state.eq(state.as_str()))
        .filter(known_kind(tasks::kind))
        .order(tasks::id)
        .limit(limit)
        .select(tasks::id)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    Ok(ids(query.load(conn)?))
}

/// At most `limit` tasks in `state` of kinds that this version knows whose lease expired before
/// `now`, oldest first, after `after`.
pub fn with_expired_lease(
    conn: &mut DbConnection,
    state: TaskState,
    now: NaiveDateTime,
    after: Option<TaskId>,
    limit: i64,
) -> DbResult<Vec<TaskId>> {
    let mut query = tasks::table
        .filter(tasks::state.eq(state.as_str()))
        .filter(tasks::leased_until.lt(now))
        .filter(known_kind(tasks::kind))
        .order(tasks::id)
        .limit(limit)
        .select(tasks::id)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(tasks::id.gt(Id(after.0)));
    }
    Ok(ids(query.load(conn)?))
}

/// The ids of rows as the API names them.
pub fn ids(found: Vec<Id>) -> Vec<TaskId> {
    found.into_iter().map(|id| TaskId(id.0)).collect()
}
