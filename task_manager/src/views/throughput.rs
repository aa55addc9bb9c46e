//! How many tasks ended per minute, as clients see it.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use common::task::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::counts::minute_of;
use crate::db::{self, DbConnection, DbResult};
use crate::tasks::store::{self, Ended};

/// The length of a step.
const STEP: Duration = Duration::from_secs(60);

/// A period that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Window {
    Hour,
    Day,
}

impl Window {
    /// Every window.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The name in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn steps(self) -> u32 {
        match self {
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

/// The tasks that ended in each step of a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct Throughput {
    /// The start of the first step.
    from: DateTime<Utc>,
    /// The end of the period: now, within the last step.
    to: DateTime<Utc>,
    /// The length of a step.
    step_seconds: u64,
    /// Every step, the oldest first.
    items: Vec<ThroughputStep>,
}

/// The tasks that ended in a step.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThroughputStep {
    /// The start of the step.
    at: DateTime<Utc>,
    /// How many succeeded.
    finished: u64,
    /// How many failed.
    failed: u64,
}

/// The throughput of the tasks of `owner` or, without one, of all users.
pub fn throughput(
    conn: &mut DbConnection,
    owner: Option<UserId>,
    window: Window,
) -> DbResult<Throughput> {
    let to = db::now(conn)?.and_utc();
    let last = to.duration_trunc(TimeDelta::minutes(1)).unwrap_or(to);
    let from = last - STEP * (window.steps() - 1);
    let minutes = store::ended_per_minute(conn, owner, from.naive_utc())?.into_iter();
    let minutes: HashMap<DateTime<Utc>, Ended> =
        minutes.filter_map(|(minute, ended)| Some((minute_of(&minute)?, ended))).collect();
    let step = |number: u32| {
        let at = from + STEP * number;
        let Ended { processed, failed } = minutes.get(&at).copied().unwrap_or_default();
        ThroughputStep { at, finished: processed, failed }
    };
    let items = (0..window.steps()).map(step).collect();
    Ok(Throughput { from, to, step_seconds: STEP.as_secs(), items })
}
