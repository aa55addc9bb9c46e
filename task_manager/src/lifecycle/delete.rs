//! Deletes ended tasks: they are hidden immediately, and purged later with all their data.

use common::task::{TaskId, TaskKind, TaskState, UserId};

use crate::db::{Database, DbConnection, DbResult, Id};
use crate::error::Error;
use crate::kinds;
use crate::tasks::store::{self, Locked};

enum Deleted {
    Done,
    NotFound,
    WrongState(TaskState),
    /// It cannot be read, and has a lease.
    Unreadable(String),
}

/// Deletes an ended task of `owner`: it is hidden immediately, and purged with all its data. An
/// unreadable task is deleted unless it has a lease.
pub async fn delete(db: &Database, owner: UserId, id: TaskId) -> Result<(), Error> {
    match db.write(move |conn| mark_deleted(conn, owner, id)).await? {
        Deleted::Done => Ok(()),
        Deleted::NotFound => Err(Error::TaskNotFound),
        Deleted::Unreadable(detail) => Err(Error::UnreadableTask(detail)),
        Deleted::WrongState(state) => Err(Error::InvalidState {
            id,
            state,
            rule: "only a task that is processed, failed, stopped or killed can be deleted",
        }),
    }
}

fn mark_deleted(conn: &mut DbConnection, owner: UserId, id: TaskId) -> DbResult<Deleted> {
    let Locked { mut tasks, mut unreadable, now } = store::find_and_lock(conn, &[Id(id.0)])?;
    let kinds = if let Some(task) = unreadable.pop().filter(|task| task.owner == owner) {
        if !store::mark_unreadable_deleted(conn, id, now)? {
            return Ok(Deleted::Unreadable(task.detail()));
        }
        task.kind.known().map_or_else(|| TaskKind::ALL.to_vec(), |kind| vec![kind])
    } else {
        let Some(task) = tasks.remove(&id).filter(|task| task.owner == owner) else {
            return Ok(Deleted::NotFound);
        };
        if !store::mark_deleted(conn, id, now)? {
            return Ok(Deleted::WrongState(task.state));
        }
        vec![task.kind()]
    };
    for kind in kinds {
        kinds::of(kind).delete(conn, id)?;
    }
    Ok(Deleted::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::task::spec::TaskSpec;
    use diesel::prelude::*;
    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;
    use crate::backend::Backend;
    use crate::db;
    use crate::db::own::{OwnDatabase, await_lock_wait};
    use crate::db::schema::tasks;

    const OWNER: UserId = UserId(Uuid::nil());

    /// A worker claims the task and commits while the deletion waits for its lock.
    #[tokio::test]
    async fn a_refused_deletion_names_the_state_of_the_task() {
        let OwnDatabase { db, test, folder: _folder } = OwnDatabase::migrated(Backend::Fleet).await;
        let id = TaskId::new();
        let insert = db.write(move |conn| {
            let now = db::now(conn)?;
            let spec = TaskSpec::FileStatistics;
            store::insert_initializing(conn, id, OWNER, &spec, "a.txt", now, now)
        });
        insert.await.unwrap();
        let (is_changed, test) = (Arc::new(Notify::new()), Arc::new(test));
        let holder = {
            let (db, test) = (db.clone(), Arc::clone(&test));
            let is_changed = Arc::clone(&is_changed);
            tokio::spawn(async move {
                db.write(move |conn| {
                    let state = tasks::state.eq(TaskState::Processing.as_str());
                    diesel::update(tasks::table).set(state).execute(conn)?;
                    is_changed.notify_one();
                    await_lock_wait(&test);
                    Ok(())
                })
                .await
            })
        };
        is_changed.notified().await;
        let refused = delete(&db, OWNER, id).await;
        holder.await.unwrap().unwrap();
        let state = match refused {
            Err(Error::InvalidState { state, .. }) => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(state, TaskState::Processing);
    }
}
