//! The end of a session while a request is in progress: of a stream of events, or of an upload.
//!
//! # Not here
//! The check before a request is served (`api::middleware::access`).

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::accounts::users::Role;
use crate::api::middleware::access::{Authenticator, CurrentUser};

/// How often the session of a long request is checked.
const CHECK: Duration = Duration::from_secs(2);
/// All are checked at the same times, so that they share queries.
static CHECKED_SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Resolves when the session or API key of `user` has expired or was ended, when the user was
/// disabled or deleted, or when the role is no longer one that `permits` the request. A request
/// without a session or key never ends by this.
pub async fn session_end(
    authenticator: Authenticator,
    user: CurrentUser,
    permits: impl Fn(Role) -> bool,
) {
    if user.session.is_none() && user.key.is_none() {
        return std::future::pending().await;
    }
    let mut checks = interval_at(*CHECKED_SINCE, CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first one is due immediately, but the request has just been checked.
    checks.tick().await;
    loop {
        checks.tick().await;
        // If the database does not answer, the session counts as valid until it does.
        if let Ok(role) = authenticator.current_role(user).await
            && !role.is_some_and(&permits)
        {
            return;
        }
    }
}
