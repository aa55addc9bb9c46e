//! The state that handlers extract.

use std::sync::Arc;

use axum::extract::FromRef;
use common::queue::Publisher;
use common::storage::Storage;

use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::users::Users;
use crate::accounts::users::credentials::PasswordLength;
use crate::api::middleware::access::{Authenticator, ServiceToken};
use crate::api::middleware::cors::AllowedOrigins;
use crate::api::request::address::TrustForwardedFor;
use crate::api::request::body::BodyTimeout;
use crate::api::request::file::IdleTimeout;
use crate::api::routes::downloads::PresignedDownloads;
use crate::api::routes::operations::ServerInfo;
use crate::audit::Audit;
use crate::db::Database;
use crate::dispatch::redispatch::Swallowed;
use crate::dispatch::relay::RelaySignal;
use crate::idempotency::IdempotencyKeys;
use crate::kinds::data_upload::loads::Loads;
use crate::lifecycle::bulk_actions::BulkActions;
use crate::lifecycle::resumable::ResumableUploads;
use crate::lifecycle::schedules::Schedules;
use crate::lifecycle::submit_messages::Messages;
use crate::lifecycle::submit_user_events::UserEvents;
use crate::lifecycle::upload::Uploads;
use crate::lifecycle::wakeups::Wakeups;
use crate::live::Changes;
use crate::results::ResultFiles;
use crate::workers::last_seen::LastSeen;

/// Defines the state of the API by its parts, each of which handlers can extract.
macro_rules! state {
    ($($name:ident: $part:ty),* $(,)?) => {
        /// The state of the API. Each request clones it several times.
        #[derive(Debug, Clone)]
        pub struct AppState(Arc<Parts>);

        /// The parts of the state.
        #[derive(Debug)]
        pub struct Parts {
            $(pub $name: $part),*
        }

        $(impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> Self {
                state.0.$name.clone()
            }
        })*
    };
}

state! {
    db: Database,
    audit: Audit,
    storage: Storage,
    results: ResultFiles,
    publisher: Publisher,
    wakeups: Wakeups,
    relay: RelaySignal,
    seen: LastSeen,
    changes: Changes,
    uploads: Uploads,
    resumable: ResumableUploads,
    idle: IdleTimeout,
    loads: Loads,
    keys: IdempotencyKeys,
    messages: Messages,
    user_events: UserEvents,
    schedules: Schedules,
    bulk_actions: BulkActions,
    service_token: ServiceToken,
    authenticator: Authenticator,
    tokens: Tokens,
    users: Users,
    password_length: PasswordLength,
    allowed_origins: AllowedOrigins,
    trust_forwarded_for: TrustForwardedFor,
    swallowed: Swallowed,
    body_timeout: BodyTimeout,
    presigned_downloads: PresignedDownloads,
    info: Arc<ServerInfo>,
}

impl AppState {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}
