//! Events of users, and the report over them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the report over these events is.
pub const REPORT: &str = "/v1/reports/user_events";

/// Something that happened to a user at a place and a time. Its texts have no blanks around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserEvent {
    /// Tells it from the other events of its owner.
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

/// How many users there are of each city: every recorded event stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserEventsReport {
    /// When the report was made, UTC.
    pub timestamp: DateTime<Utc>,
    /// The users by the name of the city.
    #[schema(example = json!({"Berlin": 3, "Portland": 12}))]
    pub stats: BTreeMap<String, u64>,
}

/// What a `user_event` came to; the `result` of its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordedEvent {
    /// The event.
    pub id: String,
    /// Whether this task recorded it; `false` where it had been delivered and recorded before.
    pub recorded: bool,
}
