//! Sessions: a client exchanges a name and a password for a token, which is valid until it expires or
//! is revoked.
//!
//! # Invariants
//! - A token is accepted only if it is signed with HS256 and a known key, has the right issuer,
//!   audience and type, has not expired and belongs to an existing user.
//! - A revoked token is refused by every task manager immediately.
//! - Sessions are stateless: the database stores revocations only.
//!
//! # Not here
//! Passwords (`users`), authorization (`api::middleware::access`).

mod hs256;
mod store;
pub mod tokens;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use common::task::UserId;
use secrecy::SecretString;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::users::{Role, Users, roles_of};
use crate::audit;
use crate::db::{self, Database, DbResult};
use crate::error::Error;
use crate::group_commit::GroupCommit;
use tokens::{Session, Tokens};

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

/// Exchanges a name and a password for a token.
pub async fn log_in(
    users: &Users,
    tokens: &Tokens,
    name: &str,
    password: SecretString,
    address: IpAddr,
) -> Result<(String, Session), Error> {
    let user = users.recognize(name, password, address).await?;
    let (token, session) = tokens.issue(user)?;
    info!(target: audit::TARGET, user_id = %user.0, session = %session.id, %address, "logged in");
    Ok((token, session))
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

/// Revokes a token before it expires.
pub async fn log_out(db: &Database, user: UserId, session: Session) -> Result<(), Error> {
    db.write(move |conn| store::revoke(conn, session)).await?;
    info!(target: audit::TARGET, user_id = %user.0, session = %session.id, "logged out");
    Ok(())
}

/// Deletes the revocations of expired tokens.
pub async fn sweep(db: &Database) -> DbResult<()> {
    db.write(|conn| {
        let before = db::now(conn)? - tokens::LEEWAY * 2;
        store::forget_expired(conn, before)
    })
    .await
}
