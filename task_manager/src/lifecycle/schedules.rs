//! Schedules: reports that are sent at the times of a cron expression.
//!
//! # Invariants
//! - Each due time is served exactly once by any number of task managers: the one that advances
//!   `next_due` by compare-and-swap creates the task, in the same transaction.
//! - Runs missed during an outage are made up for by a single run.
//! - The database's clock decides what is due.
//! - The tasks of a schedule belong to the user who created it; those of the built-in schedule
//!   belong to the first administrator, or to the local user if no login is required.
//! - A schedule of a disabled user does not run. The administrator who replaces it becomes its owner.
//! - A schedule that cannot be read or run is shown with its problem, and delays no other.
//!
//! # Not here
//! Sending the report (`data_processor`).

mod cron;
pub mod document;
pub mod runs;
mod store;
mod timing;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::problem::ErrorLocation;
use common::task::spec::{ReportEmailSpec, TaskSpec};
use common::task::{TaskId, TaskKind, TaskView, UserId};
use common::user_event::UserEventsReport;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::document::ScheduleDocument;
use self::timing::Timing;
use crate::accounts::users;
use crate::db::{self, Database, DbConnection, DbError, DbResult};
use crate::dispatch::relay::RelaySignal;
use crate::error::Error;
use crate::idempotency::{Answering, IdempotencyKeys, IdempotentRequest};
use crate::kinds::user_event;
use crate::kinds::user_event::store::Filter;
use crate::metrics::metrics;
use crate::tasks;
use crate::tasks::Task;
use crate::tasks::submissions::{self, NewTask};
use crate::views::{view, views};

/// Why the schedule of a disabled user does not run.
const DISABLED_OWNER: &str =
    "its user is disabled: enable the user, or replace the schedule, which makes it yours";
/// The most cities in a mail, to keep the task small.
const MOST_CITIES: usize = 10_000;

/// When a report is sent, and its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub name: String,
    /// The user who created it; none for a built-in schedule.
    pub owner: Option<UserId>,
    pub cron: String,
    pub time_zone: String,
    pub enabled: bool,
    /// An error says why they cannot be read.
    pub recipients: Result<Vec<String>, String>,
    /// None if it is disabled, or must be computed first.
    pub next_due: Option<NaiveDateTime>,
    pub last_run_at: Option<NaiveDateTime>,
    pub last_task_id: Option<TaskId>,
}

impl Schedule {
    /// When it is due.
    ///
    /// # Errors
    /// The schedule is invalid.
    fn timing(&self) -> Result<Timing, String> {
        let reason = |error: ErrorLocation| {
            format!("{}: {}", error.field.as_deref().unwrap_or_default(), error.reason)
        };
        self.recipients.clone()?;
        Timing::parse(&self.cron, &self.time_zone)
            .map_err(|errors| errors.into_iter().map(reason).collect::<Vec<_>>().join("; "))
    }
}

/// When a report is sent, its recipients, and its last run.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleView {
    /// Its name.
    #[schema(example = "user_events_report")]
    pub name: String,
    /// The owner of the tasks of its runs: the user who created it; `null` for the first
    /// administrator, or the local user if no login is required.
    pub user_id: Option<Uuid>,
    /// Minute, hour, day of the month, month and day of the week.
    #[schema(example = "0 * * * *")]
    pub cron: String,
    /// The time zone of these times, by its IANA name.
    #[schema(example = "UTC")]
    pub time_zone: String,
    /// Whether it runs.
    pub enabled: bool,
    /// The recipients of the report; if empty, the workers' default recipients.
    #[schema(example = json!(["reports@example.org"]))]
    pub recipients: Vec<String>,
    /// When it is next due, UTC; `null` if it is disabled, or was just created.
    pub next_due: Option<DateTime<Utc>>,
    /// When it last ran, UTC.
    pub last_run_at: Option<DateTime<Utc>>,
    /// The task of the last run, if it still exists.
    pub last_task: Option<TaskView>,
    /// Why it cannot run, if it is invalid: replace it with a valid one.
    pub problem: Option<String>,
}

/// Manages schedules. Clones share everything.
#[derive(Debug, Clone)]
pub struct Schedules {
    pub db: Database,
    pub keys: IdempotencyKeys,
    pub relay: RelaySignal,
}

impl Schedules {
    /// All schedules, by name.
    pub async fn list(&self) -> Result<Vec<ScheduleView>, Error> {
        let listed = self.db.read(|conn| {
            let schedules = store::list(conn)?;
            schedules.into_iter().map(|schedule| schedule_view(conn, schedule)).collect()
        });
        Ok(listed.await?)
    }

    /// The schedule of this name.
    pub async fn show(&self, name: String) -> Result<ScheduleView, Error> {
        let found = self.db.read(move |conn| {
            let found = store::find(conn, &name)?;
            found.map(|schedule| schedule_view(conn, schedule)).transpose()
        });
        found.await?.ok_or(Error::ScheduleNotFound)
    }

    /// Creates a schedule owned by `user`, or replaces one, which keeps its owner unless that user is
    /// disabled; returns it, and whether it is new. If its times change, it is next due at the first of them from now on;
    /// otherwise its due time stays.
    pub async fn put(
        &self,
        user: UserId,
        name: String,
        document: ScheduleDocument,
    ) -> Result<(ScheduleView, bool), Error> {
        // Not on a thread that serves requests, since it searches the calendar.
        let checked = tokio::task::spawn_blocking(move || document.check(name)).await;
        let checked = checked.map_err(|error| {
            tracing::error!(%error, "cannot check a schedule");
            Error::Internal
        })?;
        let schedule = checked.map_err(Error::InvalidParameters)?;
        let put = self.db.write(move |conn| {
            let old = store::find(conn, &schedule.name)?;
            let next_due = match &old {
                Some(old) if schedule.has_times_of(old) => old.next_due,
                _ if schedule.enabled => schedule.timing.next_after(db::now(conn)?),
                _ => None,
            };
            let owner = match old.as_ref().and_then(|old| old.owner) {
                Some(owner) if !users::is_disabled(conn, owner)? => owner,
                _ => user,
            };
            store::put(conn, &schedule, owner, next_due)?;
            let stored = store::find(conn, &schedule.name)?;
            let stored = stored.ok_or_else(|| DbError::corrupt("the schedule is gone"))?;
            Ok((schedule_view(conn, stored)?, old.is_none()))
        });
        Ok(put.await?)
    }

    /// Removes a schedule.
    pub async fn delete(&self, name: String) -> Result<(), Error> {
        match self.db.write(move |conn| store::delete(conn, &name)).await? {
            true => Ok(()),
            false => Err(Error::ScheduleNotFound),
        }
    }

    /// Runs a schedule now, whether it is enabled or not; its due time stays. The task belongs to
    /// `owner`.
    pub async fn run(
        &self,
        owner: UserId,
        name: String,
        request_key: IdempotentRequest,
    ) -> Result<TaskView, Error> {
        let work = async |answering: Answering| {
            let report = self.db.read(report_of_all).await?;
            let run = self.db.write(move |conn| {
                let Some(schedule) = store::find(conn, &name)? else { return Ok(None) };
                let now = db::now(conn)?;
                let task = submit(conn, owner, &schedule, report.clone(), now)?;
                let task = view(conn, task)?;
                answering.store(conn, &task)?;
                Ok(Some(task))
            });
            let task = run.await?.ok_or(Error::ScheduleNotFound)?;
            metrics().tasks_accepted(TaskKind::ReportEmail, 1);
            self.relay.wake();
            Ok(task)
        };
        self.keys.once(request_key, work).await
    }
}

fn schedule_view(conn: &mut DbConnection, schedule: Schedule) -> DbResult<ScheduleView> {
    let last_task = match schedule.last_task_id {
        Some(id) => tasks::store::find_any(conn, id)?,
        None => None,
    };
    let is_off = match schedule.owner {
        Some(owner) => users::is_disabled(conn, owner)?,
        None => false,
    };
    let problem = schedule.timing().err();
    Ok(ScheduleView {
        problem: problem.or_else(|| is_off.then(|| DISABLED_OWNER.to_owned())),
        name: schedule.name,
        user_id: schedule.owner.map(|owner| owner.0),
        cron: schedule.cron,
        time_zone: schedule.time_zone,
        enabled: schedule.enabled,
        recipients: schedule.recipients.unwrap_or_default(),
        next_due: schedule.next_due.map(|time| time.and_utc()),
        last_run_at: schedule.last_run_at.map(|time| time.and_utc()),
        last_task: views(conn, last_task.into_iter().collect())?.pop(),
    })
}

fn report_of_all(conn: &mut DbConnection) -> DbResult<UserEventsReport> {
    user_event::report(conn, &Filter::default())
}

/// The `limit` cities with the most users, and the number of cities left out.
fn largest(stats: BTreeMap<String, u64>, limit: usize) -> (BTreeMap<String, u64>, u64) {
    let mut cities: Vec<_> = stats.into_iter().collect();
    let left_out = cities.len().saturating_sub(limit);
    if left_out > 0 {
        cities.sort_by_key(|(_, users)| Reverse(*users));
        cities.truncate(limit);
    }
    (cities.into_iter().collect(), left_out as u64)
}

/// Creates the task of a run, and records the run; in the caller's transaction.
fn submit(
    conn: &mut DbConnection,
    owner: UserId,
    schedule: &Schedule,
    report: UserEventsReport,
    now: NaiveDateTime,
) -> DbResult<Task> {
    let UserEventsReport { timestamp, stats } = report;
    let (stats, cities_left_out) = largest(stats, MOST_CITIES);
    let spec = TaskSpec::ReportEmail(ReportEmailSpec {
        schedule: schedule.name.clone(),
        recipients: schedule.recipients.clone().map_err(DbError::corrupt)?,
        report: UserEventsReport { timestamp, stats },
        cities_left_out,
    });
    let mut tasks = submissions::submit(conn, vec![NewTask { owner, spec }], now)?;
    let task = tasks.pop().ok_or_else(|| DbError::corrupt("no task was created"))?;
    store::note_run(conn, &schedule.name, task.id, now)?;
    Ok(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_cities_are_kept() {
        let stats = [("a", 1), ("b", 3), ("c", 2), ("d", 1)];
        let stats: BTreeMap<_, _> = stats.map(|(city, users)| (city.to_owned(), users)).into();
        let (kept, left_out) = largest(stats.clone(), 2);
        assert_eq!((kept, left_out), ([("b".to_owned(), 3), ("c".to_owned(), 2)].into(), 2));
        assert_eq!(largest(stats.clone(), 4), (stats, 0));
    }
}
