//! The tokens of servers on which the user has logged in, in a file that only the user can read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use common::config::variable;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Overrides the file.
pub(crate) const VARIABLE: &str = "TASKCTL_TOKEN";

/// A session, as the API returns it and the file stores it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    token: String,
    pub(crate) expires_at: DateTime<Utc>,
}

/// The token for `server`, if any.
pub(crate) fn of(server: &str) -> Result<Option<SecretString>, Failure> {
    if let Some(token) = variable(VARIABLE) {
        return Ok(Some(token.into()));
    }
    let Some(path) = path() else { return Ok(None) };
    Ok(read(&path)?.remove(key(server)).map(|saved| saved.token.into()))
}

/// The user whom a token was given to, if it says so (RFC 7519). The token is not verified.
pub(crate) fn subject(token: &SecretString) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.sub)
}

/// Saves the session on `server`; returns the file's path.
pub(crate) fn save(server: &str, session: Saved) -> Result<PathBuf, Failure> {
    let path = path().ok_or_else(|| {
        Failure::local("There is no home folder (HOME) to save the token in; it was not saved.")
    })?;
    let mut tokens = read(&path)?;
    tokens.insert(key(server).to_owned(), session);
    write(&path, &tokens).map(|()| path)
}

/// Removes the session on `server`.
pub(crate) fn forget(server: &str) -> Result<(), Failure> {
    let Some(path) = path() else { return Ok(()) };
    let mut tokens = read(&path)?;
    match tokens.remove(key(server)) {
        Some(_) => write(&path, &tokens),
        None => Ok(()),
    }
}

fn key(server: &str) -> &str {
    server.trim_end_matches('/')
}

fn path() -> Option<PathBuf> {
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
    Some(folder.join("taskctl").join("tokens.json"))
}

type Tokens = BTreeMap<String, Saved>;

fn read(path: &Path) -> Result<Tokens, Failure> {
    let unreadable = |reason: String| {
        Failure::local(format!(
            "The tokens in {} cannot be read: {reason}. Delete the file and log in again.",
            path.display()
        ))
    };
    match std::fs::read(path) {
        Ok(content) => {
            serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tokens::new()),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// Replaces the file atomically, with a new one that is private to the user.
fn write(path: &Path, tokens: &Tokens) -> Result<(), Failure> {
    let replace = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(tokens)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok::<_, std::io::Error>(())
    };
    replace().map_err(|error| {
        Failure::local(format!("The token cannot be saved in {}: {error}.", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_user() {
        let of = |token: &str| subject(&token.to_owned().into());
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"x","sub":"01890a5d"}"#);
        assert_eq!(of(&format!("head.{claims}.signature")).as_deref(), Some("01890a5d"));
        for other in ["", "secret", "a.b.c", "head.e30.signature"] {
            assert_eq!(of(other), None);
        }
    }
}
