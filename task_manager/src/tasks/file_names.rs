//! Backfills the folded file names, which searches use, for tasks of older versions.

use common::task::TaskId;
use uuid::Uuid;

use super::store;
use crate::backfill::{Batch, Column};
use crate::db::{DbConnection, DbResult};
use crate::folding::fold;

/// The number of tasks that are read together.
const BATCH: i64 = 1_000;
/// Tasks get their ids before they are committed, so those of the last hour before the bookmark are
/// read again. In milliseconds.
const MARGIN: u128 = 3_600_000;
/// The bits after the milliseconds of a UUID of version 7.
const BITS_AFTER_TIME: u32 = 80;

/// The column `file_name_key` of `tasks`.
#[derive(Debug)]
pub struct FileNames;

impl Column for FileNames {
    const NAME: &'static str = "tasks.file_name_key";
    const VERSION: i32 = 1;
    type Change = (TaskId, String);

    fn read(conn: &mut DbConnection, bookmark: &str) -> DbResult<Batch<Self::Change>> {
        let found = store::with_file_names_after(conn, TaskId(id(bookmark)), BATCH)?;
        let last = found.last().map(|(id, ..)| id.0.to_string());
        let changes = found.into_iter().filter_map(|(id, name, stored)| {
            let key = fold(&name?);
            (stored.as_ref() != Some(&key)).then_some((id, key))
        });
        Ok(Batch { last, changes: changes.collect() })
    }

    fn write(conn: &mut DbConnection, changes: &[Self::Change]) -> DbResult<()> {
        changes.iter().try_for_each(|(id, key)| store::set_file_name_key(conn, *id, key))
    }

    fn before(bookmark: &str) -> String {
        let time = (id(bookmark).as_u128() >> BITS_AFTER_TIME).saturating_sub(MARGIN);
        Uuid::from_u128(time << BITS_AFTER_TIME).to_string()
    }
}

fn id(bookmark: &str) -> Uuid {
    bookmark.parse().unwrap_or_default()
}
