//! The one place where the wall clock is read.
//!
//! Times that decide between processes come from the database's clock (`task_manager::db`);
//! these are the application's own: ids, time stamps in answers, progress.

use chrono::{DateTime, SubsecRound, Utc};

/// The application's time, UTC, in microseconds as the databases keep it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
