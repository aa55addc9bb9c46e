//! Users, with their names and passwords.
//!
//! # Invariants
//! - A name belongs to one user, regardless of case; `local` is reserved.
//! - A password is stored as an Argon2id hash only, and is never logged.
//! - An unknown user, a wrong password, and a wrong password of a disabled user get the same answer
//!   after the same work.
//!
//! # Not here
//! Tokens and their revocation (`sessions`), authorization (`api::middleware::access`).

pub mod credentials;
pub mod passwords;
mod store;
pub mod throttle;

use std::net::IpAddr;
use std::str::FromStr;

use common::task::UserId;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{LOCAL_NAME, LOCAL_USER};
use crate::audit::{self, Action, Actor, Audit, Entry};
use crate::db::{Database, DbConnection};
use crate::error::Error;
use crate::idempotency::{Answering, IdempotencyKeys, IdempotentRequest};
use credentials::{NewUser, Username};
use passwords::Passwords;
pub use store::{
    first_administrator, is_disabled, names, note_login, roles_of, set_disabled, set_password_hash,
    set_role,
};
use throttle::Throttle;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May use the user's own tasks.
    User,
    /// May also manage the platform.
    Admin,
    /// May look at what the user has, and change nothing.
    Viewer,
}

impl Role {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            "viewer" => Ok(Self::Viewer),
            _ => Err(format!("`{text}` is not a role")),
        }
    }
}

/// A user who has just signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// The owner of everything that the user makes.
    #[schema(example = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10")]
    pub user_id: Uuid,
    /// The name as it was given.
    #[schema(example = "alice42")]
    pub username: String,
}

/// The name of a user.
///
/// # Errors
/// The user does not exist, or the database failed.
pub async fn name_of(db: &Database, user: UserId) -> Result<String, Error> {
    if user == LOCAL_USER {
        return Ok(LOCAL_NAME.to_owned());
    }
    db.read(move |conn| store::name_of(conn, user)).await?.ok_or(Error::UserNotFound)
}

/// A user as the check of credentials reads it.
#[derive(Debug, Clone)]
pub struct FoundUser {
    pub id: UserId,
    pub password_hash: String,
    is_disabled: bool,
}

/// Signs users up and checks their credentials. Clones share everything.
#[derive(Debug, Clone)]
pub struct Users {
    pub db: Database,
    pub audit: Audit,
    pub keys: IdempotencyKeys,
    pub passwords: Passwords,
    pub throttle: Throttle,
}

impl Users {
    /// Signs a user up.
    pub async fn sign_up(
        &self,
        user: NewUser,
        request_key: IdempotentRequest,
        address: IpAddr,
    ) -> Result<UserView, Error> {
        self.throttle.check(throttle::Action::SignUp, user.name.key(), address)?;
        self.keys.once(request_key, |answering| self.insert(user, address, answering)).await
    }

    async fn insert(
        &self,
        user: NewUser,
        address: IpAddr,
        answering: Answering,
    ) -> Result<UserView, Error> {
        let hash = self.passwords.hash(user.password).await?;
        let view = UserView { user_id: Uuid::now_v7(), username: user.name.as_str().to_owned() };
        let (name, inserted) = (user.name, view.clone());
        let is_new = self.db.write(move |conn| {
            let is_new = store::insert(conn, inserted.user_id, &name, &hash, Role::User)?;
            if is_new {
                answering.store(conn, &inserted)?;
            }
            Ok(is_new)
        });
        if !is_new.await? {
            return Err(Error::UsernameTaken(view.username));
        }
        let actor = Actor { user: UserId(view.user_id), address };
        self.audit.note(Entry::of(Action::SignedUp, actor).with_name(&view.username));
        Ok(view)
    }

    /// The user of a name.
    pub async fn find(&self, name: Username) -> Result<Option<FoundUser>, Error> {
        Ok(self.db.read(move |conn| store::find(conn, &name)).await?)
    }

    /// The user with this name and password.
    pub async fn recognize(
        &self,
        name: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<FoundUser, Error> {
        let name = Username::parse(name).ok();
        let shown = name.as_ref().map_or("(no name)", Username::as_str).to_owned();
        // An invalid name is throttled by the address only.
        let key = name.as_ref().map_or("", Username::key);
        self.throttle.check(throttle::Action::LogIn, key, address).inspect_err(|_| {
            // Only in the log: nothing limits their number.
            Entry::unknown(Action::LoginThrottled, address).with_name(&shown).log();
        })?;
        let found = match name {
            Some(name) => self.find(name).await?,
            None => None,
        };
        let hash = found.as_ref().map(|user| user.password_hash.clone());
        let is_right = self.passwords.verify(password, hash).await?;
        let refused = |action| self.audit.note(Entry::unknown(action, address).with_name(&shown));
        match found.filter(|_| is_right) {
            Some(user) if user.is_disabled => {
                refused(Action::LoginOfDisabledUser);
                Err(Error::UserDisabled)
            }
            Some(user) => Ok(user),
            None => {
                refused(Action::LoginRefused);
                Err(Error::InvalidCredentials)
            }
        }
    }
}

/// Adds an administrator to the database; for the command line.
///
/// # Errors
/// The name is taken, or the database failed.
pub async fn add_administrator(db: &Database, user: NewUser) -> anyhow::Result<UserView> {
    let hash = Passwords::default()
        .hash(user.password)
        .await
        .map_err(|_| anyhow::anyhow!("the password could not be hashed"))?;
    let view = UserView { user_id: Uuid::now_v7(), username: user.name.as_str().to_owned() };
    let entry = Entry::of_command(Action::AdministratorCreated, UserId(view.user_id));
    let entry = entry.with_name(&view.username);
    let (id, name, noted) = (view.user_id, user.name, entry.clone());
    let inserting = move |conn: &mut DbConnection| {
        let is_new = store::insert(conn, id, &name, &hash, Role::Admin)?;
        if is_new {
            audit::insert(conn, std::slice::from_ref(&noted))?;
        }
        Ok(is_new)
    };
    let is_new = db.write(inserting).await?;
    anyhow::ensure!(is_new, "the name `{}` is taken; choose another one", view.username);
    entry.log();
    Ok(view)
}
