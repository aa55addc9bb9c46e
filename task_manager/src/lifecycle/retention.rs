//! Retention: removes expired files and tasks.

pub mod store;

use std::time::Duration;

use common::storage::Storage;
use common::task::TaskId;
use tracing::warn;

use super::purge::remove_files;
use crate::db::{self, Database};
use crate::passes::{Failures, PassError};

/// How many tasks one transaction removes.
const BATCH: i64 = 100;

/// How long files and tasks are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Inputs, outputs and attempts, after the task's end.
    pub files: Duration,
    /// The task itself, after its end.
    pub tasks: Duration,
}

/// Removes expired files and tasks.
pub async fn pass(db: &Database, storage: &Storage, retention: Retention) -> Result<(), PassError> {
    let mut failures = Failures::default();
    loop {
        let past = db
            .read(move |conn| {
                let before = db::now(conn)? - retention.files;
                store::with_files_ended_before(conn, before, BATCH)
            })
            .await?;
        let mut marked = 0;
        for id in past {
            match expire_files(db, storage, retention, id).await {
                Ok(is_marked) => marked += usize::from(is_marked),
                Err(error) => failures.note(id, error)?,
            }
        }
        if marked == 0 {
            break;
        }
    }
    loop {
        let removed = db
            .write(move |conn| {
                let before = db::now(conn)? - retention.tasks;
                store::remove_tasks_ended_before(conn, before, BATCH)
            })
            .await?;
        if removed == 0 {
            return failures.into_result();
        }
    }
}

/// Removes the files of a task that ended long ago; false if it was resumed in the meantime.
async fn expire_files(
    db: &Database,
    storage: &Storage,
    retention: Retention,
    id: TaskId,
) -> Result<bool, PassError> {
    // Marked first, so that a resume that wins the race keeps the files. Files that cannot be
    // removed are left to the sweep.
    let marked = db.write(move |conn| {
        let now = db::now(conn)?;
        store::mark_files_removed(conn, id, now - retention.files, now)
    });
    let is_marked = marked.await?;
    if is_marked && let Err(error) = remove_files(storage, id).await {
        warn!(task_id = %id, %error, "cannot delete the files of an expired task, the sweep will");
    }
    Ok(is_marked)
}

#[cfg(test)]
mod tests {
    use common::report::{LEASE, WorkerId};
    use common::task::spec::TaskSpec;
    use common::task::{TaskState, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;
    use crate::db::{DbConnection, DbResult};
    use crate::lifecycle::purge;
    use crate::tasks::store as tasks;

    backend_tests![a_task_that_just_ended_keeps_its_files, a_resumed_task_is_not_removed,];

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A task that was killed just now.
    fn killed(conn: &mut DbConnection) -> DbResult<TaskId> {
        let (id, owner, now) = (TaskId::new(), UserId(Uuid::nil()), db::now(conn)?);
        tasks::insert_initializing(conn, id, owner, &TaskSpec::FileStatistics, "a", now, now)?;
        let task = tasks::find(conn, id)?.unwrap();
        tasks::enqueue(conn, &task, &tasks::Enqueue::default(), now, now)?;
        let mut task = tasks::find(conn, id)?.unwrap();
        tasks::claim(conn, &mut [&mut task], WorkerId(Uuid::nil()), now, now + LEASE)?;
        tasks::end(conn, &task, TaskState::Killed, now)?;
        Ok(id)
    }

    /// Simulates that it is listed as expired, then resumed, and ends again before it is processed.
    async fn a_task_that_just_ended_keeps_its_files(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let marked = own.db.write(|conn| {
            let id = killed(conn)?;
            let now = db::now(conn)?;
            let early = store::mark_files_removed(conn, id, now - WEEK, now)?;
            let late = store::mark_files_removed(conn, id, now + WEEK, now)?;
            let twice = store::mark_files_removed(conn, id, now + WEEK, now)?;
            Ok((early, late, twice))
        });
        assert_eq!(marked.await.unwrap(), (false, true, false));
    }

    async fn a_resumed_task_is_not_removed(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let left = own.db.write(|conn| {
            let id = killed(conn)?;
            // It is not deleted, so it stays even if a pass has listed it.
            purge::store::remove_deleted(conn, id)?;
            let killed = tasks::find(conn, id)?.is_some();
            let now = db::now(conn)?;
            store::mark_files_removed(conn, id, now + WEEK, now)?;
            let young = store::remove_tasks_ended_before(conn, now - WEEK, BATCH)?;
            let old = store::remove_tasks_ended_before(conn, now + WEEK, BATCH)?;
            Ok((killed, young, old))
        });
        assert_eq!(left.await.unwrap(), (true, 0, 1));
    }
}
