//! Events of users, and the report on them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The path of the report on these events.
pub const REPORT: &str = "/v1/reports/user_events";

/// An event of a user at a place and a time. Its texts have no blanks around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserEvent {
    /// Identifies it among the events of its owner.
    #[schema(example = "7a61b3c6-4f4e-4b8e-9d5c-0c1f8f6f2d11")]
    pub id: String,
    /// Where it happened.
    pub address: Address,
    /// When it happened, UTC.
    pub datetime: DateTime<Utc>,
}

/// Where an event happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The city.
    #[schema(example = "Portland")]
    pub city: String,
    /// The state, province or region.
    #[schema(example = "Oregon")]
    pub state: String,
    /// The country.
    #[schema(example = "United States")]
    pub country: String,
    /// The post code.
    #[schema(example = "97201")]
    pub post_code: String,
}

/// The number of users per city: every recorded event counts as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserEventsReport {
    /// When the report was created, UTC.
    pub timestamp: DateTime<Utc>,
    /// The users by the name of the city.
    #[schema(example = json!({"Berlin": 3, "Portland": 12}))]
    pub stats: BTreeMap<String, u64>,
}

/// The outcome of a `user_event`; the `result` of its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordedEvent {
    /// The event.
    pub id: String,
    /// Whether this task recorded it; `false` if it had been delivered and recorded before.
    pub recorded: bool,
}
