//! Sessions: a client exchanges a name and a password for a token, which is valid until it expires or
//! is revoked.
//!
//! # Invariants
//! - A token is accepted only if it is signed with HS256 and a known key, has the right issuer,
//!   audience and type, has not expired and belongs to an existing user who is not disabled.
//! - A revoked token is refused by every task manager immediately.
//! - Tokens are verified without their rows: these exist to list and to end sessions.
//! - No login with an old password outlives the end of all sessions of its user.
//!
//! # Not here
//! Passwords (`users`), authorization (`api::middleware::access`).

mod hs256;
mod store;
pub mod tokens;

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::task::UserId;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::last_used::LastUsed;
use crate::accounts::users::{Role, Users, note_login, roles_of};
use crate::audit::{Action, Actor, Audit, Entry};
use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::Error;
use crate::group_commit::GroupCommit;
use crate::paging::{Cursor, PageSize};
use tokens::{Session, Tokens};

/// The shortest interval between two records of a use of a session.
pub const USE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The session of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub session_id: Uuid,
    /// When it began, UTC.
    pub created_at: DateTime<Utc>,
    /// When it expires, UTC.
    pub expires_at: DateTime<Utc>,
}

impl From<Session> for SessionView {
    fn from(Session { id, created_at, expires_at, .. }: Session) -> Self {
        Self { session_id: id, created_at, expires_at }
    }
}

/// A session in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedSession {
    /// Its id.
    pub session_id: Uuid,
    /// When it began, UTC.
    pub created_at: DateTime<Utc>,
    /// When it expires, UTC.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, UTC, to a few minutes.
    pub last_used_at: DateTime<Utc>,
    /// The address of the login.
    #[schema(example = "192.0.2.7")]
    pub address: String,
    /// The program that logged in, as it names itself.
    pub user_agent: Option<String>,
    /// Whether it is the session of this request.
    pub current: bool,
}

/// The sessions of a user, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionList {
    /// A page of sessions.
    pub items: Vec<ListedSession>,
    /// Requests the next page; `null` on the last one.
    pub next_page_token: Option<String>,
}

/// Who logs in, from where.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: IpAddr,
    /// The program, as it names itself.
    pub user_agent: Option<String>,
}

/// Exchanges a name and a password for a token.
pub async fn log_in(
    users: &Users,
    tokens: &Tokens,
    name: &str,
    password: SecretString,
    client: Client,
) -> Result<(String, Session), Error> {
    let address = client.address;
    let user = users.recognize(name, password, address).await?;
    let (token, session) = tokens.issue(user.id)?;
    let is_listed = users.db.write(move |conn| {
        let is_current = note_login(conn, user.id, &user.password_hash)?;
        if is_current {
            store::insert(conn, session, &client)?;
        }
        Ok(is_current)
    });
    if !is_listed.await? {
        // The password was changed in the meantime, or the user disabled.
        return Err(Error::InvalidCredentials);
    }
    let actor = Actor { user: session.user, address };
    users.audit.note(Entry::of(Action::LoggedIn, actor).with_detail(of_session(session.id)));
    Ok((token, session))
}

/// How the audit log names a session.
fn of_session(session: Uuid) -> String {
    format!("session {session}")
}

/// The roles of the users of tokens. Clones share their queries.
#[derive(Debug, Clone)]
pub struct Roles(GroupCommit<(UserId, Uuid), Option<Role>>);

impl Roles {
    /// Reads roles from `db`; requests that arrive during a query share the next one.
    pub fn start(db: Database) -> Self {
        Self(GroupCommit::reading(db, roles_of))
    }

    /// The current role of the user of a token; none if the token is no longer valid.
    pub async fn of(&self, session: Session) -> DbResult<Option<Role>> {
        self.0.submit((session.user, session.id)).await
    }
}

/// A page of the sessions of a user, the newest first; `current` is the session of the request.
pub async fn list(
    db: &Database,
    user: UserId,
    current: Option<Session>,
    before: Option<Cursor>,
    page_size: PageSize,
) -> Result<SessionList, Error> {
    let read = move |conn: &mut DbConnection| {
        let now = db::now(conn)?;
        store::list(conn, user, before, page_size.limit(), now)
    };
    let mut items = db.read(read).await?;
    let next_page_token = page_size
        .cut(&mut items)
        .map(|last| Cursor { time: last.created_at.naive_utc(), id: last.session_id }.to_string());
    for item in &mut items {
        item.current = current.is_some_and(|current| current.id == item.session_id);
    }
    Ok(SessionList { items, next_page_token })
}

/// Ends the session of a request before it expires.
pub async fn log_out(
    db: &Database,
    audit: &Audit,
    actor: Actor,
    session: Session,
) -> Result<(), Error> {
    let expires_at = session.expires_at.naive_utc();
    db.write(move |conn| store::end(conn, session.user, session.id, expires_at)).await?;
    audit.note(Entry::of(Action::LoggedOut, actor).with_detail(of_session(session.id)));
    Ok(())
}

/// Ends a listed session of the actor.
///
/// # Errors
/// The actor has no such session, or the database failed.
pub async fn end(db: &Database, audit: &Audit, actor: Actor, session: Uuid) -> Result<(), Error> {
    let ended = db.write(move |conn| {
        let Some(expires_at) = store::expiry(conn, actor.user, session)? else { return Ok(false) };
        store::end(conn, actor.user, session, expires_at)?;
        Ok(true)
    });
    if !ended.await? {
        return Err(Error::SessionNotFound);
    }
    audit.note(Entry::of(Action::SessionEnded, actor).with_detail(of_session(session)));
    Ok(())
}

/// Ends all sessions of a user except one, in the caller's transaction, which has changed the row of
/// the user: a login that is not committed yet waits for it, and fails.
pub(super) fn end_others(
    conn: &mut DbConnection,
    user: UserId,
    except: Option<Uuid>,
) -> DbResult<()> {
    for (session, expires_at) in store::others(conn, user, except)? {
        store::end(conn, user, session, expires_at)?;
    }
    Ok(())
}

/// Records the noted uses of sessions.
///
/// # Errors
/// The database is not available; these uses are lost.
pub async fn record_uses(db: &Database, uses: &LastUsed) -> DbResult<()> {
    uses.record(db, store::set_last_used).await
}

/// Deletes the rows of expired tokens.
pub async fn sweep(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - tokens::LEEWAY * 2;
        store::forget_expired(conn, before)
    })
    .await
}
