//! The spec of a `report_email`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::user_event::UserEventsReport;

/// The report of a `report_email` and its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportEmailSpec {
    /// The schedule that sends it.
    pub schedule: String,
    /// The recipients; if empty, the worker's default recipients.
    pub recipients: Vec<String>,
    /// The report at the time it was due.
    pub report: UserEventsReport,
    /// How many cities with the fewest users it leaves out: a mail names at most 10,000.
    pub cities_left_out: u64,
}
