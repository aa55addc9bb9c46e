//! The parameters of a `bulk_action`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::bulk_action::BulkAction;
use crate::task::TaskId;

/// The parameters of a `bulk_action`. It acts on tasks of its owner that were created before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkActionSpec {
    /// What happens to each task.
    pub action: BulkAction,
    /// Selects the tasks, in the task manager's own format, unless `ids` does.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub filter: Map<String, Value>,
    /// Selects the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<TaskId>>,
    /// How many tasks matched when it was requested.
    #[serde(default)]
    pub matched: u64,
}
