//! Counts of tasks, as clients see them.

use chrono::{DateTime, NaiveDateTime, Utc};
use common::task::{TaskKind, TaskState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::tasks::store::Count;

/// Counts of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskCounts {
    /// Groups with at least one task, sorted by state, kind and hour.
    counts: Vec<TaskCount>,
    /// The sum of the counts.
    total: u64,
}

/// How many tasks there are in a group. A value that `by` does not name is `null`.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskCount {
    /// The state of these tasks.
    #[schema(value_type = Option<TaskState>)]
    state: Option<String>,
    /// The kind of these tasks.
    #[schema(value_type = Option<TaskKind>)]
    kind: Option<String>,
    /// The start of the hour in which these tasks were created, UTC.
    hour: Option<DateTime<Utc>>,
    /// How many there are.
    count: u64,
}

impl TaskCounts {
    pub fn of(counts: Vec<Count>) -> Self {
        let total = counts.iter().map(|count| count.count).sum();
        let view = |Count { state, kind, hour, count }| TaskCount {
            state,
            kind,
            hour: hour.and_then(|hour| minute_of(&format!("{hour}:00"))),
            count,
        };
        Self { counts: counts.into_iter().map(view).collect(), total }
    }
}

/// A time such as `2026-01-31 12:05`.
pub(super) fn minute_of(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%F %H:%M").ok().map(|time| time.and_utc())
}
