//! Authentication: users, their passwords, the tokens of their sessions, and their API keys.
//!
//! # Not here
//! Authorization of requests (`api::middleware::access`).

pub mod administration;
pub mod api_keys;
pub mod last_used;
pub mod password_changes;
pub mod sessions;
pub mod users;

use common::task::UserId;
use uuid::Uuid;

/// The user of every request without a token, where no login is required. The id is fixed, so that
/// tasks stay with their owner across restarts.
pub const LOCAL_USER: UserId = UserId(Uuid::from_u128(0x6c6f_6361_6c00_4000_8000_0000_0000_0001));

/// Its name, which no other user can have.
pub const LOCAL_NAME: &str = "local";
