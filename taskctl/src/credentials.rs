//! Contexts, and the sessions of servers on which the user has logged in, in a file that only the
//! user can read.
//!
//! # Invariants
//! - The file is replaced as a whole, and is private from its first byte.
//! - A token is never printed.

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

/// A session, as the API returns it and the file stores it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    token: String,
    /// Unknown for a token of another origin that does not say it.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Session {
    /// The session of a token that was given to the user.
    pub(crate) fn of(token: &str) -> Self {
        let expires_at = claims(token).and_then(|claims| DateTime::from_timestamp(claims.exp?, 0));
        Self { token: token.to_owned(), expires_at }
    }

    /// Its token.
    pub(crate) fn token(&self) -> SecretString {
        self.token.clone().into()
    }
}

/// A server with what is needed to use it, under a name.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The URL of the server.
    pub(crate) server: String,
    /// Certificates to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The session, if the user has logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session>,
}

/// The content of the file. A file of a version without contexts has only sessions.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Contexts by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contexts: BTreeMap<String, Context>,
    /// The context in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_context: Option<String>,
    /// Sessions by the URLs of servers that were used without a context.
    #[serde(flatten)]
    sessions: BTreeMap<String, Session>,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A server that is used without a context.
    Server(String),
    /// A context.
    Context(String),
}

impl Credentials {
    /// The content of the file; empty if it does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn load() -> Result<Self, Failure> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let unreadable = |reason: String| {
            Failure::local(format!(
                "The tokens in {} cannot be read: {reason}. Delete the file and log in again.",
                path.display()
            ))
        };
        match std::fs::read(&path) {
            Ok(content) => {
                serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Replaces the file atomically, with a new one that is private to the user; returns its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self) -> Result<PathBuf, Failure> {
        let path = path().ok_or_else(|| {
            Failure::local("There is no home folder (HOME) to save it in; nothing was saved.")
        })?;
        let replace = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok::<_, std::io::Error>(())
        };
        match replace() {
            Ok(()) => Ok(path),
            Err(error) => {
                Err(Failure::local(format!("Cannot save in {}: {error}.", path.display())))
            }
        }
    }

    /// The session of a holder, if any.
    pub(crate) fn session(&self, holder: &Holder) -> Option<&Session> {
        match holder {
            Holder::Server(server) => self.sessions.get(key(server)),
            Holder::Context(name) => self.contexts.get(name)?.session.as_ref(),
        }
    }

    /// Sets or removes the session of a holder; returns whether it had one.
    pub(crate) fn set_session(&mut self, holder: &Holder, session: Option<Session>) -> bool {
        match (holder, session) {
            (Holder::Server(server), Some(session)) => {
                self.sessions.insert(key(server).to_owned(), session).is_some()
            }
            (Holder::Server(server), None) => self.sessions.remove(key(server)).is_some(),
            (Holder::Context(name), session) => match self.contexts.get_mut(name) {
                Some(context) => std::mem::replace(&mut context.session, session).is_some(),
                None => false,
            },
        }
    }
}

/// The user whom a token was given to, if it says so (RFC 7519). The token is not verified.
pub(crate) fn subject(token: &SecretString) -> Option<String> {
    claims(token.expose_secret())?.sub
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<i64>,
}

fn claims(token: &str) -> Option<Claims> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn key(server: &str) -> &str {
    server.trim_end_matches('/')
}

fn path() -> Option<PathBuf> {
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
    Some(folder.join("taskctl").join("tokens.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_user_and_its_end() {
        let of = |token: &str| subject(&token.to_owned().into());
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"x","sub":"01890a5d","exp":4102444800}"#);
        let token = format!("head.{claims}.signature");
        assert_eq!(of(&token).as_deref(), Some("01890a5d"));
        assert_eq!(
            Session::of(&token).expires_at.unwrap().to_rfc3339(),
            "2100-01-01T00:00:00+00:00"
        );
        for other in ["", "secret", "a.b.c", "head.e30.signature"] {
            assert_eq!(of(other), None);
            assert_eq!(Session::of(other).expires_at, None);
        }
    }

    #[test]
    fn a_file_without_contexts_is_read() {
        let file = r#"{"http://a": {"token": "t", "expires_at": "2026-01-01T00:00:00Z"}}"#;
        let mut credentials: Credentials = serde_json::from_str(file).unwrap();
        let server = Holder::Server("http://a/".to_owned());
        assert!(credentials.session(&server).is_some());
        credentials.contexts.insert(
            "b".to_owned(),
            Context { server: "http://b".to_owned(), ca_file: None, session: None },
        );
        let context = Holder::Context("b".to_owned());
        assert!(!credentials.set_session(&context, Some(Session::of("u"))));
        let text = serde_json::to_string(&credentials).unwrap();
        let mut credentials: Credentials = serde_json::from_str(&text).unwrap();
        assert!(credentials.set_session(&context, None));
        assert!(credentials.set_session(&server, None));
    }
}
