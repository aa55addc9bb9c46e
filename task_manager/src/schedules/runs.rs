//! Serving what is due.

use tracing::{info, warn};

use super::timing::Timing;
use super::{Schedule, report_of_all, store, submit};
use crate::db::{self, Database, DbError, DbResult};
use crate::http::access::LOCAL_USER;
use crate::log_once;
use crate::outbox::relay::RelaySignal;

/// Runs every schedule that is due, and works out when those are that are new.
///
/// # Errors
/// The database is not available. A schedule that cannot be run holds up no other.
pub async fn pass(db: &Database, relay: &RelaySignal) -> DbResult<()> {
    let due = db.read(|conn| {
        let now = db::now(conn)?;
        store::due(conn, now)
    });
    for schedule in due.await? {
        let name = schedule.name.clone();
        match serve(db, schedule).await {
            Ok(true) => relay.wake(),
            Ok(false) => {}
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                if log_once::is_first(format!("schedule {name}: {error}")) {
                    warn!(schedule = name, %error, "a schedule cannot be run");
                }
            }
        }
    }
    Ok(())
}

/// Moves a schedule on, and runs it; not where another task manager was faster. Answers
/// whether there is a new task.
async fn serve(db: &Database, schedule: Schedule) -> DbResult<bool> {
    let due = schedule.next_due;
    let timing = Timing::parse(&schedule.cron, &schedule.time_zone)
        .map_err(|errors| DbError::corrupt(format!("{errors:?}")))?;
    // Before the transaction, which is to be short.
    let report = match due {
        Some(_) => Some(db.read(report_of_all).await?),
        None => None,
    };
    let name = schedule.name.clone();
    let served = db.write(move |conn| {
        let now = db::now(conn)?;
        if !store::advance(conn, &schedule, timing.next_after(now))? {
            return Ok(None);
        }
        // A new schedule was not due yet: now it is known when it is.
        let Some(report) = &report else { return Ok(None) };
        // Nobody asked for it, so it belongs to the platform's own user.
        submit(conn, LOCAL_USER, &schedule, report.clone(), now).map(|task| Some(task.id))
    });
    let task_id = served.await?;
    if let (Some(task_id), Some(due)) = (task_id, due) {
        info!(schedule = name, %task_id, due = %due.and_utc(), "a schedule was due and is run");
    }
    Ok(task_id.is_some())
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

    backend_tests![of_many_that_see_it_due_one_serves_it];

    async fn of_many_that_see_it_due_one_serves_it(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let db = &own.db;
        for round in 1..=3 {
            let due = db.write(|conn| {
                let now = db::now(conn)?;
                let past = now - TimeDelta::days(1);
                diesel::update(schedules::table).set(schedules::next_due.eq(past)).execute(conn)?;
                store::due(conn, now)
            });
            let due = due.await.unwrap().pop().unwrap();
            // All have read that it is due before any of them serves it.
            let served = join_all((0..16).map(|_| serve(db, due.clone()))).await;
            let served = served.into_iter().filter(|served| *served.as_ref().unwrap()).count();
            assert_eq!(served, 1);
            let tasks = db.read(|conn| first_in_queue(conn, TaskKind::ReportEmail, 10)).await;
            assert_eq!(tasks.unwrap().len(), round);
        }
    }
}
