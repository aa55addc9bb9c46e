//! SQL on the tasks of bulk actions. No function opens a transaction.

use chrono::NaiveDateTime;
use common::report::LEASE;
use common::task::{Progress, TaskId};
use diesel::prelude::*;

use super::State;
use crate::db::schema::tasks;
use crate::db::{DbConnection, DbResult, Id};
use crate::tasks::store::to_json;

/// Records how far a bulk action is, and renews the lease of its attempt. The caller has locked
/// the task.
pub fn set_state(
    conn: &mut DbConnection,
    id: TaskId,
    state: &State,
    progress: &Progress,
    now: NaiveDateTime,
) -> DbResult<()> {
    diesel::update(tasks::table.find(Id(id.0)))
        .set((
            tasks::checkpoint.eq(to_json(state)?),
            tasks::progress.eq(to_json(progress)?),
            tasks::leased_until.eq(now + LEASE),
            tasks::changed_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}
