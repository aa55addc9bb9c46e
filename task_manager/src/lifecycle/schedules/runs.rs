//! Runs due schedules.

use common::task::{TaskKind, UserId};
use tracing::{info, warn};

use super::{Schedule, report_of_all, store, submit};
use crate::accounts::LOCAL_USER;
use crate::accounts::users;
use crate::db::{self, Database, DbConnection, DbError, DbResult};
use crate::dispatch::relay::RelaySignal;
use crate::log_once;
use crate::metrics::metrics;

/// Runs schedules. Clones share everything.
#[derive(Debug, Clone)]
pub struct Runs {
    db: Database,
    relay: RelaySignal,
    login_required: bool,
}

impl Runs {
    /// Runs the schedules of `db`. If no login is required, the built-in schedule belongs to the
    /// local user.
    pub fn new(db: Database, relay: RelaySignal, login_required: bool) -> Self {
        Self { db, relay, login_required }
    }

    /// Runs every due schedule, and computes the first due times of new ones.
    ///
    /// # Errors
    /// The database is not available. A schedule that cannot run delays no other.
    pub async fn pass(&self) -> DbResult<()> {
        let due = self.db.read(|conn| {
            let now = db::now(conn)?;
            store::due(conn, now)
        });
        for schedule in due.await? {
            let name = schedule.name.clone();
            match self.serve(schedule).await {
                Ok(true) => self.relay.wake(),
                Ok(false) => {}
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    if log_once::is_first(format!("schedule {name}: {error}")) {
                        warn!(schedule = name, %error, "cannot run a schedule");
                    }
                }
            }
        }
        Ok(())
    }

    /// Advances a schedule and runs it, unless another task manager was faster. Returns whether it
    /// created a task.
    async fn serve(&self, schedule: Schedule) -> DbResult<bool> {
        let due = schedule.next_due;
        let timing = schedule.timing().map_err(DbError::corrupt)?;
        // Read before the transaction, which should be short.
        let report = match due {
            Some(_) => Some(self.db.read(report_of_all).await?),
            None => None,
        };
        let name = schedule.name.clone();
        let login_required = self.login_required;
        let served = self.db.write(move |conn| {
            let now = db::now(conn)?;
            if !store::advance(conn, &schedule, timing.next_after(now))? {
                return Ok(None);
            }
            // A new schedule is not due yet: this sets its first due time.
            let Some(report) = &report else { return Ok(None) };
            let owner = match schedule.owner {
                Some(owner) => owner,
                None => owner_of_builtin(conn, login_required)?,
            };
            // The due time has passed nevertheless: nothing is made up for once the user is enabled.
            if users::is_disabled(conn, owner)? {
                return Ok(None);
            }
            submit(conn, owner, &schedule, report.clone(), now).map(|task| Some(task.id))
        });
        let task_id = served.await?;
        if task_id.is_some() {
            metrics().tasks_accepted(TaskKind::ReportEmail, 1);
        }
        if let (Some(task_id), Some(due)) = (task_id, due) {
            info!(schedule = name, %task_id, due = %due.and_utc(), "a due schedule runs");
        }
        Ok(task_id.is_some())
    }
}

/// The owner of the tasks of the built-in schedule: a user who can see, stop and delete them.
fn owner_of_builtin(conn: &mut DbConnection, login_required: bool) -> DbResult<UserId> {
    let first = match login_required {
        true => users::first_administrator(conn)?,
        false => None,
    };
    Ok(first.unwrap_or(LOCAL_USER))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use common::task::TaskKind;
    use diesel::prelude::*;
    use futures_util::future::join_all;

    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;
    use crate::db::schema::schedules;
    use crate::tasks::store::first_in_queue;

    backend_tests![a_due_schedule_is_run_by_one_task_manager];

    async fn a_due_schedule_is_run_by_one_task_manager(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let db = &own.db;
        let runs = Runs::new(db.clone(), RelaySignal::default(), false);
        for round in 1..=3 {
            let due = db.write(|conn| {
                let now = db::now(conn)?;
                let past = now - TimeDelta::days(1);
                diesel::update(schedules::table).set(schedules::next_due.eq(past)).execute(conn)?;
                store::due(conn, now)
            });
            let due = due.await.unwrap().pop().unwrap();
            // All of them read that it is due before any runs it.
            let served = join_all((0..16).map(|_| runs.serve(due.clone()))).await;
            let served = served.into_iter().filter(|served| *served.as_ref().unwrap()).count();
            assert_eq!(served, 1);
            let tasks = db.read(|conn| first_in_queue(conn, TaskKind::ReportEmail, 10)).await;
            assert_eq!(tasks.unwrap().len(), round);
        }
    }
}
