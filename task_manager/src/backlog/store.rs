//! SQL that counts queued and running tasks, and outbox rows. No function opens a transaction.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use common::task::{TaskKind, TaskState};
use diesel::dsl::{count_star, min};
use diesel::prelude::*;

use super::KindBacklog;
use crate::db::schema::{outbox, tasks};
use crate::db::{DbConnection, DbError, DbResult, known_kind};

/// The queued and running tasks of the kinds that this version knows: two ranges of the index of
/// the queue for each.
pub(super) fn by_kind(conn: &mut DbConnection) -> DbResult<Vec<KindBacklog>> {
    let states = [TaskState::Queued.as_str(), TaskState::Processing.as_str()];
    let rows: Vec<(String, String, i64, Option<NaiveDateTime>)> = tasks::table
        .filter(known_kind(tasks::kind))
        .filter(tasks::state.eq_any(states))
        .group_by((tasks::kind, tasks::state))
        .select((tasks::kind, tasks::state, count_star(), min(tasks::queued_at)))
        .load(conn)?;
    let mut kinds: BTreeMap<TaskKind, KindBacklog> = BTreeMap::new();
    for (kind, state, count, oldest) in rows {
        let kind: TaskKind = kind.parse().map_err(DbError::corrupt)?;
        let count = u64::try_from(count).map_err(DbError::corrupt)?;
        let backlog = kinds.entry(kind).or_insert(KindBacklog::of(kind));
        if state == TaskState::Queued.as_str() {
            (backlog.queued, backlog.oldest_queued_at) = (count, oldest);
        } else {
            backlog.processing = count;
        }
    }
    Ok(kinds.into_values().collect())
}

/// The number of rows in the outbox, and when the first one is due.
pub(super) fn outbox(conn: &mut DbConnection) -> DbResult<(u64, Option<NaiveDateTime>)> {
    let (rows, first): (i64, _) =
        outbox::table.select((count_star(), min(outbox::due_at))).first(conn)?;
    Ok((u64::try_from(rows).map_err(DbError::corrupt)?, first))
}
