//! API keys: a user makes them for programs, which send them instead of the token of a session.
//!
//! # Invariants
//! - A key is shown once, when it is made; only a hash of it is stored.
//! - A key permits what its scopes name, and never more than its owner may now: a disabled owner has
//!   no valid key.
//! - Each request reads the key and its owner, so that a revoked key is refused by every task manager
//!   immediately.
//!
//! # Not here
//! Authorization (`api::middleware::access`). Passwords: a changed one revokes no key, since programs
//! do not know it.

mod new_key;
pub mod scopes;
mod secret;
mod store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::clock;
use common::task::UserId;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::last_used::LastUsed;
use crate::accounts::users::Role;
use crate::audit::{Action, Actor, Audit, Entry};
use crate::db::{Database, DbConnection, DbResult};
use crate::error::Error;
use crate::group_commit::GroupCommit;
pub use new_key::{Expiry, NewKey};
use scopes::{Scope, Scopes};
use secret::Hash;
pub use secret::is_key;

/// How many keys a user may have.
const MOST_KEYS: i64 = 50;
/// The shortest interval between two records of a use of a key.
pub const USE_INTERVAL: Duration = Duration::from_secs(60);

const MALFORMED: Error = Error::InvalidToken(
    "The API key is incomplete or has a typo: its checksum does not match. Copy it again.",
);
const UNKNOWN: Error = Error::InvalidToken(
    "The API key does not exist, was revoked, or its owner is disabled. Make a new one on the screen \
     Account or with POST /v1/users/me/keys.",
);
const EXPIRED: Error = Error::InvalidToken(
    "The API key has expired. Make a new one on the screen Account or with POST /v1/users/me/keys.",
);

/// The key of a request, and what its owner may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The id of the key.
    pub id: Uuid,
    /// Its owner.
    pub user: UserId,
    /// What the owner may do.
    role: Role,
    pub scopes: Scopes,
    /// When it expires, UTC; none if never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyUse {
    /// What the key may do: an administrator's key needs its scope for that.
    pub fn role(self) -> Role {
        match self.role {
            Role::Admin if !self.scopes.admin => Role::User,
            role => role,
        }
    }

    fn has_expired(self) -> bool {
        self.expires_at.is_some_and(|time| time <= clock::now())
    }
}

/// A key as the table has it.
#[derive(Debug, Clone, Copy)]
struct Found {
    key: ApiKeyUse,
    hash: Hash,
}

/// Verifies keys. Clones share their queries.
#[derive(Debug, Clone)]
pub struct ApiKeys(GroupCommit<Uuid, Option<Found>>);

impl ApiKeys {
    /// Reads keys from `db`; requests that arrive during a query share the next one.
    pub fn start(db: Database) -> Self {
        Self(GroupCommit::reading(db, store::find))
    }

    /// The key of a text that [`is_key`].
    ///
    /// # Errors
    /// It has a typo, is unknown, or has expired, or the database failed.
    pub async fn verify(&self, text: &str) -> Result<ApiKeyUse, Error> {
        let presented = secret::parse(text).ok_or(MALFORMED)?;
        let found = self.0.submit(presented.id).await?;
        // Hashes of secrets: the time of the comparison reveals nothing about the secret.
        let found = found.filter(|found| found.hash == presented.hash).ok_or(UNKNOWN)?;
        if found.key.has_expired() { Err(EXPIRED) } else { Ok(found.key) }
    }

    /// What a verified key permits now; `None` if it has expired or was revoked, or its owner was
    /// disabled or deleted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn current(&self, key: ApiKeyUse) -> DbResult<Option<ApiKeyUse>> {
        let found = self.0.submit(key.id).await?;
        Ok(found.map(|found| found.key).filter(|key| !key.has_expired()))
    }
}

/// A key as its owner sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedKey {
    /// Its id.
    pub key_id: Uuid,
    /// The name that its owner gave it.
    #[schema(example = "nightly export")]
    pub name: String,
    /// How the key begins, to recognise it.
    #[schema(example = "tpk_0199aa3e7c1f")]
    pub prefix: String,
    /// What it permits.
    pub scopes: Vec<Scope>,
    /// When it was made, UTC.
    pub created_at: DateTime<Utc>,
    /// When it expires, UTC; `null` if never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, UTC, to a minute or two; `null` if never.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The keys of a user, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// All keys that were not revoked; those that have expired are among them.
    pub items: Vec<ListedKey>,
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    pub listed: ListedKey,
    /// The key, to be sent as `Authorization: Bearer KEY`. It is shown here only.
    #[serde(serialize_with = "expose")]
    #[schema(
        value_type = String,
        example = "tpk_0199aa3e7c1f7d059c4e5b1f3d8f2a10…",
    )]
    pub key: SecretString,
}

fn expose<S: serde::Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

/// Why a key was not made.
enum Refusal {
    NoOwner,
    Beyond(Scope, Role),
    TooMany,
    NameTaken,
}

/// Makes a key of the actor.
///
/// # Errors
/// The actor has too many keys, one of this name, or may less than its scopes, or the database
/// failed.
pub async fn create(
    db: &Database,
    audit: &Audit,
    actor: Actor,
    new: NewKey,
) -> Result<CreatedKey, Error> {
    let (key, presented) = secret::generate(Uuid::now_v7());
    let name = new.name.clone();
    let inserting = move |conn: &mut DbConnection| {
        let Some(role) = store::lock_owner(conn, actor.user)? else {
            return Ok(Err(Refusal::NoOwner));
        };
        if let Some(scope) = new.scopes.beyond(role) {
            return Ok(Err(Refusal::Beyond(scope, role)));
        }
        if store::count(conn, actor.user)? >= MOST_KEYS {
            return Ok(Err(Refusal::TooMany));
        }
        Ok(store::insert(conn, actor.user, presented, &new)?.ok_or(Refusal::NameTaken))
    };
    let listed = db.write(inserting).await?.map_err(|refusal| match refusal {
        Refusal::NoOwner => Error::UserNotFound,
        Refusal::Beyond(scope, role) => {
            let (scope, role) = (scope.as_str(), role.as_str());
            Error::invalid("scopes", format!("`{scope}` is more than your role `{role}` permits"))
        }
        Refusal::TooMany => Error::TooManyKeys { limit: MOST_KEYS },
        Refusal::NameTaken => Error::KeyNameTaken(name),
    })?;
    let entry = Entry::of(Action::KeyCreated, actor);
    let scopes = listed.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    audit.note(entry.with_detail(format!("{}, {scopes}", named(&listed))));
    Ok(CreatedKey { listed, key })
}

/// How the audit log names a key.
fn named(key: &ListedKey) -> String {
    format!("key {} ({})", key.prefix, key.name)
}

/// All keys of a user.
///
/// # Errors
/// The database failed.
pub async fn list(db: &Database, user: UserId) -> Result<KeyList, Error> {
    Ok(KeyList { items: db.read(move |conn| store::list(conn, user)).await? })
}

/// All keys of a user who exists, for administrators.
///
/// # Errors
/// The user does not exist, or the database failed.
pub async fn list_of_other(db: &Database, user: UserId) -> Result<KeyList, Error> {
    let exists = db.read(move |conn| store::has_user(conn, user)).await?;
    if exists { list(db, user).await } else { Err(Error::UserNotFound) }
}

/// Revokes a key of `user`, who may be another user than the actor.
///
/// # Errors
/// The user has no such key, or the database failed.
pub async fn revoke(
    db: &Database,
    audit: &Audit,
    actor: Actor,
    user: UserId,
    id: Uuid,
) -> Result<(), Error> {
    let removed = db.write(move |conn| store::remove(conn, user, id)).await?;
    let key = removed.ok_or(Error::KeyNotFound)?;
    let whose = if user == actor.user { String::new() } else { format!(" of user {}", user.0) };
    let detail = format!("{}{whose}", named(&key));
    audit.note(Entry::of(Action::KeyRevoked, actor).with_detail(detail));
    Ok(())
}

/// Records the noted uses of keys.
///
/// # Errors
/// The database is not available; these uses are lost.
pub async fn record_uses(db: &Database, uses: &LastUsed) -> DbResult<()> {
    uses.record(db, store::set_last_used).await
}
