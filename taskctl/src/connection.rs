//! The options that name a server, and what they and the environment result in.

use std::path::PathBuf;

use clap::Args;
use common::config::variable;
use secrecy::SecretString;

use crate::credentials::{Credentials, Holder};
use crate::failure::Failure;

/// The default URL of a standalone server.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:5000";
/// Overrides the context in use.
const SERVER: &str = "TASKCTL_SERVER";
const CA_FILE: &str = "TASKCTL_CA_FILE";
const CONTEXT: &str = "TASKCTL_CONTEXT";
/// Overrides every token of the file.
pub(crate) const TOKEN: &str = "TASKCTL_TOKEN";

// The server of a command. No comment of rustdoc, which would replace the descriptions of the
// commands that take these options.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connection {
    /// The URL of the server; by default that of the context in use, or http://127.0.0.1:5000.
    /// Variable: TASKCTL_SERVER.
    #[arg(long, short, value_name = "URL")]
    server: Option<String>,
    /// A PEM file of certificates to trust beside the system's, for an https server. Variable:
    /// TASKCTL_CA_FILE.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A server by its name in `taskctl context list`, with its token. Variable: TASKCTL_CONTEXT.
    #[arg(long, short, value_name = "NAME", conflicts_with = "server")]
    context: Option<String>,
}

/// A server, and how it is used.
pub(crate) struct Resolved {
    /// The URL of the server.
    pub(crate) server: String,
    /// Certificates to trust beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The token to send, if any.
    pub(crate) token: Option<SecretString>,
    /// Who keeps the session in the file.
    pub(crate) holder: Holder,
    /// The options that another command needs to use the same server.
    pub(crate) options: String,
}

impl Connection {
    /// A server by its URL.
    #[cfg(test)]
    pub(crate) fn to(server: &str) -> Self {
        Self { server: Some(server.to_owned()), ..Self::default() }
    }

    /// These options, or `outer` ones where they are missing.
    pub(crate) fn or(self, outer: Self) -> Self {
        let names_server = self.server.is_some() || self.context.is_some();
        let (server, context) = match names_server {
            true => (self.server, self.context),
            false => (outer.server, outer.context),
        };
        Self { server, context, ca_file: self.ca_file.or(outer.ca_file) }
    }

    /// Whether an option was given.
    pub(crate) fn is_given(&self) -> bool {
        self.server.is_some() || self.ca_file.is_some() || self.context.is_some()
    }

    /// Applies the environment and the context in use: an option precedes a variable, which
    /// precedes the context in use.
    ///
    /// # Errors
    /// The context does not exist, or the file of contexts cannot be read.
    pub(crate) fn resolve(&self) -> Result<Resolved, Failure> {
        let mut credentials = Credentials::load()?;
        let environment = variable(SERVER);
        let (server, context, options) = match (&self.server, &self.context) {
            (Some(server), _) => (Some(server.clone()), None, format!(" --server {server}")),
            (None, Some(name)) => (None, Some(name.clone()), format!(" --context {name}")),
            (None, None) if environment.is_some() => (environment, None, String::new()),
            (None, None) => {
                let name = variable(CONTEXT).or(credentials.current_context.take());
                (None, name, String::new())
            }
        };
        let ca_file = self.ca_file.clone().or_else(|| variable(CA_FILE).map(PathBuf::from));
        let (server, ca_file, holder) = match context {
            Some(name) => {
                let Some(context) = credentials.contexts.get(&name) else {
                    return Err(Failure::usage(format!(
                        "There is no context `{name}`. `taskctl context list` shows those that \
                         exist, and `taskctl context set {name} --server URL` creates it."
                    )));
                };
                let ca_file = ca_file.or_else(|| context.ca_file.clone());
                (context.server.clone(), ca_file, Holder::Context(name))
            }
            None => {
                let server = server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
                (server.clone(), ca_file, Holder::Server(server))
            }
        };
        let kept = credentials.session(&holder).map(|session| session.token());
        let token = variable(TOKEN).map(Into::into).or(kept);
        Ok(Resolved { server, ca_file, token, holder, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_command_precede_those_before_it() {
        let server = Connection::to;
        let context = Connection { context: Some("x".to_owned()), ..Connection::default() };
        let both = server("b").or(server("a"));
        assert_eq!(both.server.as_deref(), Some("b"));
        assert_eq!(Connection::default().or(server("a")).server.as_deref(), Some("a"));
        let named = context.or(server("a"));
        assert_eq!((named.server, named.context.as_deref()), (None, Some("x")));
        assert!(server("a").is_given() && !Connection::default().is_given());
    }
}
