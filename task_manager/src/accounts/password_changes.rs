//! Changes of passwords: by their users, who know the present one, and by administrators.
//!
//! # Invariants
//! - A change ends the sessions of the user: all others if the user makes it, otherwise all.
//! - Guesses at the present password are throttled together with logins.

use common::task::UserId;
use secrecy::SecretString;
use uuid::Uuid;

use crate::accounts::sessions::end_others;
use crate::accounts::sessions::tokens::Session;
use crate::accounts::users::credentials::Username;
use crate::accounts::users::throttle;
use crate::accounts::users::{Users, name_of, set_password_hash};
use crate::audit::{Action, Actor, Entry};
use crate::error::Error;

/// Changes the password of the actor and ends the other sessions.
///
/// # Errors
/// The present password is wrong, too many were tried, or the database failed.
pub async fn change_own(
    users: &Users,
    actor: Actor,
    session: Session,
    present: SecretString,
    new: SecretString,
) -> Result<(), Error> {
    let name = name_of(&users.db, actor.user).await?;
    let name = Username::parse(&name).map_err(|_| Error::UserNotFound)?;
    users.throttle.check(throttle::Action::LogIn, name.key(), actor.address)?;
    let Some(user) = users.find(name).await? else { return Err(Error::UserNotFound) };
    if !users.passwords.verify(present, Some(user.password_hash)).await? {
        users.audit.note(Entry::of(Action::PasswordRefused, actor));
        return Err(Error::invalid("current_password", "is not the current password"));
    }
    replace(users, actor.user, new, Some(session.id)).await?;
    users.audit.note(Entry::of(Action::PasswordChanged, actor));
    Ok(())
}

/// Sets the password of a user and ends all sessions of that user; for administrators.
///
/// # Errors
/// The user does not exist, or the database failed.
pub async fn reset(
    users: &Users,
    actor: Actor,
    user: UserId,
    new: SecretString,
) -> Result<(), Error> {
    replace(users, user, new, None).await?;
    let detail = format!("user {}", user.0);
    users.audit.note(Entry::of(Action::PasswordReset, actor).with_detail(detail));
    Ok(())
}

async fn replace(
    users: &Users,
    user: UserId,
    new: SecretString,
    kept: Option<Uuid>,
) -> Result<(), Error> {
    let hash = users.passwords.hash(new).await?;
    let replaced = users.db.write(move |conn| {
        let exists = set_password_hash(conn, user, &hash)?;
        if exists {
            end_others(conn, user, kept)?;
        }
        Ok(exists)
    });
    if replaced.await? { Ok(()) } else { Err(Error::UserNotFound) }
}
