//! The audit log: sign-ups, logins and refused logins, interrupts, deletions, and changes of users
//! and schedules, with their users.
//!
//! Its lines have a target of their own in the log, so that they can be filtered
//! (`log = "warn,audit=info"`). They name users, addresses and tasks, never a password or token.

use std::net::IpAddr;

use common::task::{TaskId, UserId};
use tracing::info;

/// The target of every line.
const TARGET: &str = "audit";

/// Names the actions. Log lines have spaces instead of underscores.
macro_rules! actions {
    ($($(#[$description:meta])* $action:ident = $name:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$description])* $action,)*
        }

        impl Action {
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
    SignedUp = "signed_up",
    AdministratorCreated = "administrator_created",
    LoggedIn = "logged_in",
    LoginRefused = "login_refused",
    LoginThrottled = "login_throttled",
    /// The right password of a disabled user.
    LoginOfDisabled = "login_of_disabled_user",
    LoggedOut = "logged_out",
    /// A session other than that of the request.
    SessionEnded = "session_ended",
    PasswordChanged = "password_changed",
    /// The present password was wrong.
    PasswordRefused = "password_refused",
    /// By an administrator.
    PasswordReset = "password_reset",
    UserChanged = "user_changed",
    /// Something that is for administrators.
    Refused = "refused",
    TaskStopped = "task_stopped",
    TaskKilled = "task_killed",
    TaskResumed = "task_resumed",
    TaskDeleted = "task_deleted",
    ScheduleChanged = "schedule_changed",
    ScheduleDeleted = "schedule_deleted",
    ScheduleRun = "schedule_run",
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
    action: Action,
    user: Option<UserId>,
    username: Option<String>,
    address: Option<IpAddr>,
    task: Option<TaskId>,
    detail: Option<String>,
}

impl Entry {
    fn new(action: Action, user: Option<UserId>, address: Option<IpAddr>) -> Self {
        Self { action, user, username: None, address, task: None, detail: None }
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

/// Records what was done. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Audit;

impl Audit {
    /// Records an entry.
    pub fn note(&self, entry: Entry) {
        entry.log();
    }
}
