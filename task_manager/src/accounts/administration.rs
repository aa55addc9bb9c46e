//! Users as administrators see and change them.
//!
//! # Invariants
//! - Administrators cannot change themselves, and only an enabled administrator changes others, as
//!   the transaction of the change sees it: so one enabled administrator always remains.
//! - A disabled user is refused immediately by every task manager, and has no sessions afterwards.
//!
//! # Not here
//! Passwords (`password_changes`).

mod store;

use chrono::{DateTime, Utc};
use common::task::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::LOCAL_USER;
use crate::accounts::sessions::end_others;
use crate::accounts::users::{Role, set_disabled, set_role};
use crate::audit::{Action, Actor, Audit, Entry};
use crate::db::{Database, DbConnection, DbResult};
use crate::error::Error;
use crate::paging::{Cursor, PageSize};
pub use store::Filter;

/// A user as administrators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedUser {
    /// The owner of everything that the user makes.
    #[schema(example = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10")]
    pub user_id: Uuid,
    /// The name as it was given.
    #[schema(example = "alice42")]
    pub username: String,
    /// What the user may do.
    #[schema(value_type = Role)]
    pub role: String,
    /// Whether the user is locked out.
    pub disabled: bool,
    /// When the user signed up, UTC.
    pub created_at: DateTime<Utc>,
    /// When the user last logged in, UTC.
    pub last_login_at: Option<DateTime<Utc>>,
    /// How many tasks the user has.
    pub tasks: u64,
    /// The bytes of their files: what was sent, and results.
    pub bytes_stored: u64,
}

/// Users, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserList {
    /// A page of users.
    pub items: Vec<ListedUser>,
    /// Requests the next page; `null` on the last one.
    pub next_page_token: Option<String>,
}

/// What to change of a user; what is absent stays.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// What the user may do.
    role: Option<Role>,
    /// Whether the user is locked out. This ends all sessions of the user.
    disabled: Option<bool>,
}

/// A page of users, the newest first.
pub async fn list(db: &Database, filter: Filter, page_size: PageSize) -> Result<UserList, Error> {
    let read = move |conn: &mut DbConnection| store::list(conn, &filter, page_size.limit());
    let mut items = db.read(read).await?;
    let next_page_token = page_size
        .cut(&mut items)
        .map(|last| Cursor { time: last.created_at.naive_utc(), id: last.user_id }.to_string());
    let items = db.read(move |conn| store::with_usage(conn, items.clone())).await?;
    Ok(UserList { items, next_page_token })
}

/// Changes a user.
///
/// # Errors
/// The user does not exist or is the actor, the actor is no longer an administrator, or the database
/// failed.
pub async fn change(
    db: &Database,
    audit: &Audit,
    actor: Actor,
    user: UserId,
    change: UserChange,
) -> Result<ListedUser, Error> {
    if actor.user == user {
        return Err(Error::OwnAccount);
    }
    let changing = move |conn: &mut DbConnection| {
        if !may_change(conn, actor.user, user)? {
            return Ok(None);
        }
        apply(conn, user, change)?;
        store::find(conn, user).map(Some)
    };
    let changed = db.write(changing).await?.ok_or(Error::NotAdministrator)?;
    // Apart from the transaction: it reads all tasks of the user.
    let reading = move |conn: &mut DbConnection| store::with_usage(conn, changed.clone());
    let changed = db.read(reading).await?.pop().ok_or(Error::UserNotFound)?;
    let ListedUser { username, role, disabled, .. } = &changed;
    let detail = format!("user {} ({username}): role {role}, disabled {disabled}", user.0);
    audit.note(Entry::of(Action::UserChanged, actor).with_detail(detail));
    Ok(changed)
}

/// Whether the actor is an enabled administrator; locks the rows of both, so that of two
/// administrators who disable each other at the same time the second one is refused.
fn may_change(conn: &mut DbConnection, actor: UserId, user: UserId) -> DbResult<bool> {
    if actor == LOCAL_USER {
        return Ok(true);
    }
    let administrators = store::lock_administrators(conn, &[actor, user])?;
    Ok(administrators.contains(&actor))
}

fn apply(conn: &mut DbConnection, user: UserId, change: UserChange) -> DbResult<()> {
    if let Some(role) = change.role {
        set_role(conn, user, role)?;
    }
    if let Some(is_disabled) = change.disabled {
        set_disabled(conn, user, is_disabled)?;
        if is_disabled {
            end_others(conn, user, None)?;
        }
    }
    Ok(())
}
