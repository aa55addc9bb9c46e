//! `taskctl context`: servers by names, each with its token.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use common::client::{ApiClient, ClientError};
use common::clock::now;
use common::password;
use common::tls::Trust;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::console::Console;
use crate::credentials::{Context, Credentials, Holder, Session};
use crate::failure::Failure;
use crate::problem_text::printable;
use crate::view::{aligned, minute};

/// The commands on contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the contexts; `*` marks the one in use.
    #[command(visible_alias = "ls")]
    List,
    /// Use a context for later commands.
    ///
    /// The options --server and --context, and the variables TASKCTL_SERVER and TASKCTL_CONTEXT,
    /// precede it.
    Use {
        /// The name of the context.
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// Use none: the default server.
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Create a context, or change one. The first one is used from then on.
    Set(SetArgs),
    /// Delete a context with its token.
    #[command(visible_alias = "rm")]
    Delete {
        /// The name of the context.
        name: String,
    },
}

/// The arguments of `taskctl context set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The name of the context.
    #[arg(value_parser = name)]
    name: String,
    /// The URL of its server. Another server needs another token: log in again.
    #[arg(long, short, value_name = "URL")]
    server: Option<String>,
    /// A PEM file of certificates to trust beside the system's, for an https server.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A file whose first line is a token for it, `-` for standard input. Or log in:
    /// `taskctl login --context NAME USERNAME`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.is_empty() || text.starts_with('-') || !text.chars().all(is_part) {
        true => Err("a name has letters, digits, `-`, `_` and `.`".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// `taskctl context`.
pub(crate) fn context(command: ContextCommand, console: Console) -> ExitCode {
    let done = match command {
        ContextCommand::List => list(console),
        ContextCommand::Use { name, .. } => use_context(name, console),
        ContextCommand::Set(args) => set(args, console),
        ContextCommand::Delete { name } => delete(&name, console),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(console),
    }
}

fn list(console: Console) -> Result<(), Failure> {
    let credentials = Credentials::load()?;
    let items: Vec<_> =
        credentials.contexts.keys().map(|name| document(&credentials, name)).collect();
    console.answer(&json!({"items": items}), || match items.is_empty() {
        true => "No contexts. Create one with `taskctl context set NAME --server URL`.".to_owned(),
        false => table(&credentials),
    });
    Ok(())
}

fn table(credentials: &Credentials) -> String {
    let mut rows = vec![["", "NAME", "SERVER", "LOGIN"].map(str::to_owned)];
    rows.extend(credentials.contexts.iter().map(|(name, context)| {
        let is_current = credentials.current_context.as_ref() == Some(name);
        let mark = if is_current { "*" } else { "" };
        let login = match &context.session {
            None => "none".to_owned(),
            Some(session) => match session.expires_at {
                None => "token".to_owned(),
                Some(end) if end <= now() => "expired".to_owned(),
                Some(end) => format!("until {}", minute(end)),
            },
        };
        [mark.to_owned(), name.clone(), printable(&context.server), login]
    }));
    aligned(&rows, &[])
}

/// Without the token.
fn document(credentials: &Credentials, name: &str) -> Value {
    let context = credentials.contexts.get(name);
    let session = context.and_then(|context| context.session.as_ref());
    json!({
        "name": name,
        "server": context.map(|context| &context.server),
        "ca_file": context.and_then(|context| context.ca_file.as_ref()),
        "is_current": credentials.current_context.as_deref() == Some(name),
        "has_token": session.is_some(),
        "expires_at": session.and_then(|session| session.expires_at),
    })
}

fn use_context(name: Option<String>, console: Console) -> Result<(), Failure> {
    let mut credentials = Credentials::load()?;
    let Some(name) = name else {
        credentials.current_context = None;
        credentials.save()?;
        console.answer(&json!({"name": null}), || "No context is in use.".to_owned());
        return Ok(());
    };
    let Some(context) = credentials.contexts.get(&name) else { return Err(missing(&name)) };
    let text = format!("Using {name}: {}.", printable(&context.server));
    credentials.current_context = Some(name.clone());
    credentials.save()?;
    console.answer(&document(&credentials, &name), || text);
    Ok(())
}

fn set(args: SetArgs, console: Console) -> Result<(), Failure> {
    let SetArgs { name, server, ca_file, token_file } = args;
    if let Some(server) = &server {
        check_url(server)?;
    }
    let mut credentials = Credentials::load()?;
    let is_first = credentials.contexts.is_empty();
    let mut context = match (credentials.contexts.remove(&name), server) {
        (Some(context), None) => context,
        // A token of one server is no business of another.
        (Some(context), Some(server)) if context.server != server => {
            Context { server, session: None, ..context }
        }
        (Some(context), Some(_)) => context,
        (None, Some(server)) => Context { server, ca_file: None, session: None },
        (None, None) => {
            return Err(Failure::usage(format!("The new context `{name}` needs --server URL.")));
        }
    };
    if let Some(file) = ca_file {
        let absolute = file
            .canonicalize()
            .map_err(|error| Failure::local(format!("Cannot read {}: {error}.", file.display())))?;
        context.ca_file = Some(absolute);
    }
    if let Some(file) = token_file {
        let file = Some(file).filter(|file| file.as_os_str() != "-");
        let token = password::password(file.as_deref())
            .map_err(|error| Failure::local(format!("Cannot read the token: {error:#}.")))?;
        context.session = Some(Session::of(token.expose_secret().trim()));
    }
    let text = format!("Saved {name}: {}.", printable(&context.server));
    credentials.contexts.insert(name.clone(), context);
    if is_first {
        credentials.current_context = Some(name.clone());
    }
    credentials.save()?;
    console.answer(&document(&credentials, &name), || match is_first {
        true => format!("{text} It is used from now on."),
        false => text,
    });
    Ok(())
}

fn check_url(server: &str) -> Result<(), Failure> {
    match ApiClient::trusting(server, None, Trust::default()) {
        Ok(_) => Ok(()),
        Err(ClientError::Unexpected { reason, .. }) => {
            Err(Failure::usage(format!("The URL `{server}` cannot be used: {reason}.")))
        }
        Err(error) => Err(error.into()),
    }
}

fn delete(name: &str, console: Console) -> Result<(), Failure> {
    let mut credentials = Credentials::load()?;
    let document = document(&credentials, name);
    let had_token = credentials.session(&Holder::Context(name.to_owned())).is_some();
    if credentials.contexts.remove(name).is_none() {
        return Err(missing(name));
    }
    if credentials.current_context.as_deref() == Some(name) {
        credentials.current_context = None;
    }
    credentials.save()?;
    console.answer(&document, || match had_token {
        true => format!("Deleted {name}. Its token stays valid on the server until it expires."),
        false => format!("Deleted {name}."),
    });
    Ok(())
}

fn missing(name: &str) -> Failure {
    Failure::local(format!(
        "There is no context `{name}`. `taskctl context list` shows those that exist."
    ))
}
