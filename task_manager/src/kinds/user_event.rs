//! Events of users: accepted in any number, recorded by one task each, and reported by city.
//!
//! # Invariants
//! - A request is accepted or refused as a whole, unless the database fails: all events are checked
//!   first. The tasks of a chunk are created in one transaction.
//! - An event is recorded once per owner and id, even if it is delivered repeatedly, in the
//!   transaction that accepts the completion of its task. The first record stays.
//! - A record stays until the task that created it is deleted; an expired task keeps its record.
//!
//! # Not here
//! Scheduling the report (`lifecycle::schedules`), sending it (`data_processor`).

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

/// The current report on the events that match `filter`.
pub fn report(conn: &mut DbConnection, filter: &Filter) -> DbResult<UserEventsReport> {
    Ok(UserEventsReport { timestamp: clock::now(), stats: store::users_by_city(conn, filter)? })
}
