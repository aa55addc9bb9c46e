//! Events of users: accepted in any number, recorded by a task each, and reported by city.
//!
//! # Invariants
//! - Of a request either every event is accepted or none is, as long as the database works: they are
//!   all checked first. The tasks of a chunk are made in one transaction.
//! - An event is recorded once per owner and id, however often it is delivered, in the transaction
//!   that accepts the completion of a task with it. The first one stays.
//! - A record stays until the task that made it is deleted; the expiry of the task leaves it.
//!
//! # Not here
//! When the report is sent (`lifecycle::schedules`), and sending it (`data_processor`).

pub mod document;
pub mod generate;
pub mod store;

use chrono::NaiveDateTime;
use common::clock;
use common::task::TaskId;
use common::user_event::{self, RecordedEvent, UserEventsReport};
use serde_json::Value;

use self::store::Filter;
use super::{Kind, Records};
use crate::db::{DbConnection, DbError, DbResult};
use crate::tasks::Task;

/// The kind `user_event`.
pub struct UserEvent;

impl Kind for UserEvent {
    fn complete(
        &self,
        conn: &mut DbConnection,
        task: &Task,
        reported: &Value,
        _records: &mut Records,
        now: NaiveDateTime,
    ) -> DbResult<Value> {
        let event: user_event::UserEvent =
            serde_json::from_value(reported.clone()).map_err(DbError::corrupt)?;
        let recorded = store::insert(conn, task.id, task.owner, &event, now)?;
        serde_json::to_value(RecordedEvent { id: event.id, recorded }).map_err(DbError::corrupt)
    }

    fn delete(&self, conn: &mut DbConnection, id: TaskId) -> DbResult<()> {
        store::remove(conn, id)
    }

    fn report_link(&self) -> Option<&'static str> {
        Some(user_event::REPORT)
    }
}

/// The report over the events that `filter` lets through, as of now.
pub fn report(conn: &mut DbConnection, filter: &Filter) -> DbResult<UserEventsReport> {
    Ok(UserEventsReport { timestamp: clock::now(), stats: store::users_by_city(conn, filter)? })
}
