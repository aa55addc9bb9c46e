//! The only place where the wall clock is read.
//!
//! Times that processes compare come from the database's clock (`task_manager::db`). This clock is
//! for ids, time stamps in answers, and progress.

use chrono::{DateTime, SubsecRound, Utc};

/// The application's time, UTC, in microseconds as the databases store it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
