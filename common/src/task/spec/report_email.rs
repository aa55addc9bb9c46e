//! What a `report_email` sends.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::user_event::UserEventsReport;

/// The report of a `report_email` and who gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportEmailSpec {
    /// The schedule that had it sent.
    pub schedule: String,
    /// Who gets it; whom the worker is set to send to where there is nobody.
    pub recipients: Vec<String>,
    /// The report as it was when it was due.
    pub report: UserEventsReport,
    /// How many cities it leaves out, those with the fewest users: a mail names 10,000 at the most.
    pub cities_left_out: u64,
}
