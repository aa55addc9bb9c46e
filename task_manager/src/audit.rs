//! The audit log: sign-ups, logins and refused logins, interrupts, deletions, and changes of users,
//! API keys and schedules, with their users.
//!
//! Each entry is a line of the log with a target of its own, so that it can be filtered
//! (`log = "warn,audit=info"`), and a row of a table for administrators. It names users, addresses
//! and tasks, never a password, token or key.

mod store;
mod writer;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use common::clock;
use common::task::{TaskId, UserId};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::Error;
use crate::paging::{Cursor, PageSize};
pub use store::{Filter, insert};

/// The target of every line.
const TARGET: &str = "audit";
/// How many entries may wait to be written to the table.
const QUEUE: usize = 10_000;
/// How many refused requests the table gets per minute: any user can make them as fast as the server
/// answers, and they would crowd out the entries of others.
const MOST_REFUSALS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// How long the table keeps entries.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Names the actions. Log lines have spaces instead of underscores.
macro_rules! actions {
    ($($(#[$description:meta])* $action:ident = $name:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $($(#[$description])* $action,)*
        }

        impl Action {
            const ALL: &[Self] = &[$(Self::$action),*];

            /// Its name on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// A user signed up.
    SignedUp = "signed_up",
    /// By a command on the server.
    AdministratorCreated = "administrator_created",
    /// A user logged in.
    LoggedIn = "logged_in",
    /// The user does not exist, or the password was wrong.
    LoginRefused = "login_refused",
    /// There were too many attempts; only in the log.
    LoginThrottled = "login_throttled",
    /// The password was right, but the user is disabled.
    LoginOfDisabledUser = "login_of_disabled_user",
    /// The session of the request was ended.
    LoggedOut = "logged_out",
    /// A listed session was ended.
    SessionEnded = "session_ended",
    /// An API key was made.
    KeyCreated = "key_created",
    /// An API key was revoked, by its owner or an administrator.
    KeyRevoked = "key_revoked",
    /// A user changed their own password.
    PasswordChanged = "password_changed",
    /// A change with a wrong present password.
    PasswordRefused = "password_refused",
    /// An administrator set the password of a user.
    PasswordReset = "password_reset",
    /// An administrator changed a user.
    UserChanged = "user_changed",
    /// A request that is for administrators. Of very many, some are only in the log.
    Refused = "refused",
    /// A task was stopped.
    TaskStopped = "task_stopped",
    /// A task was killed.
    TaskKilled = "task_killed",
    /// A task was resumed.
    TaskResumed = "task_resumed",
    /// A task was deleted.
    TaskDeleted = "task_deleted",
    /// An action on many tasks was requested.
    BulkActionRequested = "bulk_action_requested",
    /// A schedule was created or replaced.
    ScheduleChanged = "schedule_changed",
    /// A schedule was removed.
    ScheduleDeleted = "schedule_deleted",
    /// A schedule was run by hand.
    ScheduleRun = "schedule_run",
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|action| action.as_str() == text);
        found.copied().ok_or_else(|| format!("`{text}` is not an action"))
    }
}

/// Who does something, from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    pub user: UserId,
    pub address: IpAddr,
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct Entry {
    id: Uuid,
    at: NaiveDateTime,
    action: Action,
    user: Option<UserId>,
    username: Option<String>,
    address: Option<IpAddr>,
    task: Option<TaskId>,
    detail: Option<String>,
}

impl Entry {
    fn new(action: Action, user: Option<UserId>, address: Option<IpAddr>) -> Self {
        let (id, at) = (Uuid::now_v7(), clock::now().naive_utc());
        Self { id, at, action, user, username: None, address, task: None, detail: None }
    }

    /// What a user did.
    pub fn of(action: Action, actor: Actor) -> Self {
        Self::new(action, Some(actor.user), Some(actor.address))
    }

    /// What a client did that is not logged in.
    pub fn unknown(action: Action, address: IpAddr) -> Self {
        Self::new(action, None, Some(address))
    }

    /// What a command on the server did to a user.
    pub fn of_command(action: Action, user: UserId) -> Self {
        Self::new(action, Some(user), None)
    }

    /// With the name that was given.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self { username: Some(name.to_owned()), ..self }
    }

    /// With the task that was changed.
    #[must_use]
    pub fn with_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    /// With more, in words.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        info!(
            target: TARGET,
            user_id = self.user.map(|user| tracing::field::display(user.0)),
            username = self.username,
            address = self.address.map(tracing::field::display),
            task_id = self.task.map(tracing::field::display),
            detail = self.detail,
            "{}",
            self.action.as_str().replace('_', " "),
        );
    }
}

/// An entry as administrators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct RecordedEntry {
    /// Its id.
    pub id: Uuid,
    /// When it was done, UTC.
    pub at: DateTime<Utc>,
    /// The user who did it; `null` for a refused login.
    pub user_id: Option<Uuid>,
    /// The user's name; for a refused login, the name that was given.
    #[schema(example = "alice42")]
    pub username: Option<String>,
    /// The client's address; `null` for a command on the server.
    #[schema(example = "192.0.2.7")]
    pub address: Option<String>,
    /// What was done.
    #[schema(value_type = Action)]
    pub action: String,
    /// The task that was changed.
    pub task_id: Option<Uuid>,
    /// More, in words.
    pub detail: Option<String>,
}

/// Entries of the audit log, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditList {
    /// A page of entries.
    pub items: Vec<RecordedEntry>,
    /// Requests the next page; `null` on the last one.
    pub next_page_token: Option<String>,
}

/// Records what was done. Clones share it.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Entry>,
    refusals: Arc<DefaultDirectRateLimiter>,
}

impl Audit {
    /// Writes the table on `tracker`, until all clones are gone.
    pub fn start(db: Database, tracker: &TaskTracker, shutdown: CancellationToken) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        tracker.spawn(writer::run(db, queue, shutdown));
        let refusals = Arc::new(RateLimiter::direct(Quota::per_minute(MOST_REFUSALS)));
        Self { queue: sender, refusals }
    }

    /// Records an entry, without waiting for the table.
    pub fn note(&self, entry: Entry) {
        entry.log();
        if entry.action == Action::Refused && self.refusals.check().is_err() {
            return;
        }
        if self.queue.try_send(entry).is_err() {
            warn!("the audit table is behind, an entry is only in the log");
        }
    }
}

/// A page of entries, the newest first.
pub async fn list(db: &Database, filter: Filter, page_size: PageSize) -> Result<AuditList, Error> {
    let read = move |conn: &mut DbConnection| store::list(conn, &filter, page_size.limit());
    let mut items = db.read(read).await?;
    let next_page_token = page_size
        .cut(&mut items)
        .map(|last| Cursor { time: last.at.naive_utc(), id: last.id }.to_string());
    Ok(AuditList { items, next_page_token })
}

/// Deletes old entries from the table.
pub async fn forget_old(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - KEPT;
        store::forget(conn, before)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert!("nothing".parse::<Action>().unwrap_err().contains("`nothing`"));
    }
}
