//! SQL conditions on the rows of kinds.

use diesel::dsl::exists;
use diesel::prelude::*;

use crate::db::schema::{file_data, rejected_rows, tasks};

/// Whether the task has rows that are kept until it is deleted, so that it must be kept too.
#[diesel::dsl::auto_type]
pub fn keeps_task() -> _ {
    let loaded = exists(file_data::table.filter(file_data::task_id.eq(tasks::id)));
    let rejected = exists(rejected_rows::table.filter(rejected_rows::task_id.eq(tasks::id)));
    loaded.or(rejected)
}
