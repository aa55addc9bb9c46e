//! Lists of tasks, and queue positions.

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskKind, TaskState, UserId};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Untyped};

use super::Filter;
use super::rows::{TaskRow, read};
use crate::db::schema::tasks;
use crate::db::{
    Condition, DbConnection, DbError, DbResult, Id, Parameter, TaskExpressions, count_of,
    known_kind, moment, on_either, task_expressions,
};
use crate::paging::{Cursor, Position};
use crate::tasks::Task;
use crate::tasks::unreadable::ReadTask;

/// The order of a list. Tasks without the value, such as a size, come last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// Those that ended last first.
    LatestEnd,
    /// The largest file first.
    Largest,
    /// The longest duration first, of ended tasks.
    Longest,
}

impl Sort {
    /// Every order.
    pub const ALL: [Self; 5] =
        [Self::Newest, Self::Oldest, Self::LatestEnd, Self::Largest, Self::Longest];

    /// The name in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "-created_at",
            Self::Oldest => "created_at",
            Self::LatestEnd => "-finished_at",
            Self::Largest => "-size",
            Self::Longest => "-duration",
        }
    }

    /// Whether a page may start after this task.
    pub fn accepts(self, after: Position) -> bool {
        match self {
            Self::Newest | Self::Oldest => after.time().is_some(),
            Self::LatestEnd => after.value.is_none() || after.time().is_some(),
            Self::Largest | Self::Longest => true,
        }
    }

    /// The expression that the tasks of `owner` are sorted by, before their ids.
    fn key(self, owner: Option<UserId>, sql: &TaskExpressions) -> &'static str {
        match self {
            // Ids sort by creation, and no index has the tasks of all users by their time.
            Self::Newest | Self::Oldest if owner.is_none() => BY_ID,
            // By a column that no other index sorts by, or a database would use that index and
            // skip over the tasks of all other users.
            Self::Newest | Self::Oldest => "tasks.created_at",
            Self::LatestEnd => "tasks.finished_at",
            Self::Largest => "tasks.size",
            Self::Longest => sql.duration,
        }
    }

    fn is_by_time(self) -> bool {
        matches!(self, Self::Newest | Self::Oldest | Self::LatestEnd)
    }

    /// Adds the condition that a task comes after another one.
    fn after(self, condition: &mut Condition, key: &str, Position { value, id }: Position) {
        let id = Parameter::Id(Id(id));
        if key == BY_ID {
            let sql = if self == Self::Oldest { "tasks.id > ?" } else { "tasks.id < ?" };
            return condition.add_with(sql, &[id]);
        }
        let Some(value) = value else {
            return condition.add_with(&format!("{key} IS NULL AND tasks.id < ?"), &[id]);
        };
        let time = Position::time_of(value).map(moment);
        let value = match &time {
            Some(time) if self.is_by_time() => Parameter::Text(time.as_str()),
            _ => Parameter::Number(value),
        };
        // The first part is implied by the second, but lets a database find its start in an index.
        let sql = match self {
            Self::Newest => format!("{key} <= ? AND ({key} < ? OR tasks.id < ?)"),
            Self::Oldest => format!("{key} >= ? AND ({key} > ? OR tasks.id > ?)"),
            Self::LatestEnd | Self::Largest | Self::Longest => {
                format!("({key} <= ? AND ({key} < ? OR tasks.id < ?)) OR {key} IS NULL")
            }
        };
        condition.add_with(&sql, &[value, value, id]);
    }
}

/// The key of a list that is sorted by the ids only.
const BY_ID: &str = "tasks.id";

/// A task of a list, and its position there.
pub type Listed = (ReadTask, Position);

/// At most `limit` tasks of `owner` or, without one, of all users, that come after `after`.
pub fn list(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    filter: &Filter,
    sort: Sort,
    after: Option<Position>,
    limit: i64,
) -> DbResult<Vec<Listed>> {
    let expressions = task_expressions(conn);
    let mut condition = filter.condition(owner, expressions);
    let key = sort.key(owner, expressions);
    if let Some(after) = after {
        sort.after(&mut condition, key, after);
    }
    let direction = if sort == Sort::Oldest { "ASC" } else { "DESC" };
    let order = match key {
        BY_ID => format!("{BY_ID} {direction}"),
        key => format!("{key} {direction}, tasks.id {direction}"),
    };
    let order = sql::<Untyped>(&order);
    // Times are in the row; a number is read as the database computed it.
    let number = if sort.is_by_time() { "NULLIF(0, 0)" } else { key };
    let number = sql::<Nullable<BigInt>>(number);
    let rows: Vec<(TaskRow, Option<i64>)> = on_either!(conn, |conn| tasks::table
        .filter(condition)
        .order(order)
        .limit(limit)
        .select((TaskRow::as_select(), number))
        .load(conn))?;
    Ok(rows.into_iter().map(|(row, number)| listed(row, number, sort)).collect())
}

fn listed(row: TaskRow, number: Option<i64>, sort: Sort) -> Listed {
    let task = read(row);
    let (id, created_at, finished_at) = match &task {
        Ok(task) => (task.id, task.created_at, task.finished_at),
        Err(task) => (task.id, task.created_at, task.finished_at),
    };
    let value = match sort {
        Sort::Newest | Sort::Oldest => Some(created_at.and_utc().timestamp_micros()),
        Sort::LatestEnd => finished_at.map(|time| time.and_utc().timestamp_micros()),
        Sort::Largest | Sort::Longest => number,
    };
    (task, Position { value, id: id.0 })
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
