//! The spec of a `message_validation`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::UserId;

/// The message of a `message_validation` and the number drawn for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageValidationSpec {
    /// The sender of the message.
    #[schema(value_type = Uuid)]
    pub user_id: UserId,
    /// The message.
    pub message: String,
    /// The number drawn for it, from 1 to 60.
    pub number: u8,
    /// 1 for the user's first message, 2 for the second.
    pub request_count: u64,
}
