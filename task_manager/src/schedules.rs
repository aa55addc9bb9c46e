//! Schedules: reports that are sent again and again, at the times of a cron expression.
//!
//! # Invariants
//! - Each due time is served exactly once by any number of task managers: who moves `next_due` on by
//!   compare-and-swap makes the task, in the same transaction.
//! - What was missed while nobody ran is made up for once, and not once for each time.
//! - What is due is decided by the database's clock.
//!
//! # Not here
//! Sending the report (`data_processor`).

mod document;
pub mod routes;
pub mod runs;
mod store;
mod timing;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::task::spec::{ReportEmailSpec, TaskSpec};
use common::task::{TaskId, TaskView, UserId};
use common::user_event::UserEventsReport;
use serde::Serialize;
use utoipa::ToSchema;

use self::document::CheckedSchedule;
use crate::db::{self, Database, DbConnection, DbError, DbResult};
use crate::error::ApiError;
use crate::idempotency::{Keys, Repeatable};
use crate::outbox::relay::RelaySignal;
use crate::tasks::submissions::{self, NewTask};
use crate::tasks::{Task, view};
use crate::user_events;
use crate::user_events::store::Filter;

/// When a report is sent, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    #[schema(example = "user_events_report")]
    pub name: String,
    /// Minute, hour, day of the month, month and day of the week.
    #[schema(example = "0 * * * *")]
    pub cron: String,
    /// Whose clock that is, by its IANA name.
    #[schema(example = "UTC")]
    pub time_zone: String,
    /// Whether it is served.
    pub enabled: bool,
    /// Who gets the report; whom the workers are set to send to where there is nobody.
    #[schema(example = json!(["reports@example.org"]))]
    pub recipients: Vec<String>,
    /// When it is due next, UTC; `null` where it is not enabled, or was just made.
    pub next_due: Option<DateTime<Utc>>,
    /// When it was run last, UTC.
    pub last_run_at: Option<DateTime<Utc>>,
    /// The task of the last run.
    pub last_task_id: Option<TaskId>,
}

/// Looks after schedules. Clones share everything.
#[derive(Debug, Clone)]
pub struct Schedules {
    pub db: Database,
    pub keys: Keys,
    pub relay: RelaySignal,
}

impl Schedules {
    /// All schedules, by name.
    pub async fn list(&self) -> Result<Vec<Schedule>, ApiError> {
        Ok(self.db.read(store::list).await?)
    }

    /// The schedule of this name.
    pub async fn show(&self, name: String) -> Result<Schedule, ApiError> {
        let found = self.db.read(move |conn| store::find(conn, &name)).await?;
        found.ok_or(ApiError::ScheduleNotFound)
    }

    /// Makes a schedule or replaces it; answers it, and whether it is a new one. Its next time is the
    /// first one from now on.
    pub async fn put(&self, schedule: CheckedSchedule) -> Result<(Schedule, bool), ApiError> {
        let put = self.db.write(move |conn| {
            let now = db::now(conn)?;
            let next_due = match schedule.enabled {
                true => schedule.timing.next_after(now),
                false => None,
            };
            let is_new = store::put(conn, &schedule, next_due)?;
            let stored = store::find(conn, &schedule.name)?;
            Ok((stored.ok_or_else(|| DbError::corrupt("the schedule is gone"))?, is_new))
        });
        Ok(put.await?)
    }

    /// Removes a schedule.
    pub async fn delete(&self, name: String) -> Result<(), ApiError> {
        match self.db.write(move |conn| store::delete(conn, &name)).await? {
            true => Ok(()),
            false => Err(ApiError::ScheduleNotFound),
        }
    }

    /// Runs a schedule now, whether it is enabled or not; when it is due next stays. The task is
    /// `owner`'s.
    pub async fn run(
        &self,
        owner: UserId,
        name: String,
        repeatable: Repeatable,
    ) -> Result<TaskView, ApiError> {
        let work = async |answering: crate::idempotency::Answering| {
            let schedule = self.show(name).await?;
            let report = self.db.read(report_of_all).await?;
            let run = self.db.write(move |conn| {
                let now = db::now(conn)?;
                let task = submit(conn, owner, &schedule, report.clone(), now)?;
                let task = view(conn, task)?;
                answering.store(conn, &task)?;
                Ok(task)
            });
            let task = run.await?;
            self.relay.wake();
            Ok(task)
        };
        self.keys.once(repeatable, work).await
    }
}

fn report_of_all(conn: &mut DbConnection) -> DbResult<UserEventsReport> {
    user_events::report(conn, &Filter::default())
}

/// Makes the task of a run, and notes it; in the caller's transaction.
fn submit(
    conn: &mut DbConnection,
    owner: UserId,
    schedule: &Schedule,
    report: UserEventsReport,
    now: NaiveDateTime,
) -> DbResult<Task> {
    let spec = TaskSpec::ReportEmail(ReportEmailSpec {
        schedule: schedule.name.clone(),
        recipients: schedule.recipients.clone(),
        report,
    });
    let mut tasks = submissions::submit(conn, vec![NewTask { owner, spec }], now)?;
    let task = tasks.pop().ok_or_else(|| DbError::corrupt("no task was made"))?;
    store::note_run(conn, &schedule.name, task.id, now)?;
    Ok(task)
}
