//! What the rows of kinds mean for their tasks, in SQL.

use diesel::dsl::exists;
use diesel::prelude::*;

use crate::db::schema::{file_data, rejected_rows, tasks};

/// Whether rows of the task stay with their owner, and the task with them, until it is deleted.
#[diesel::dsl::auto_type]
pub fn keeps_task() -> _ {
    let loaded = exists(file_data::table.filter(file_data::task_id.eq(tasks::id)));
    let rejected = exists(rejected_rows::table.filter(rejected_rows::task_id.eq(tasks::id)));
    loaded.or(rejected)
}
