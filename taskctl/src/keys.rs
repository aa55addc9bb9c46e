//! `taskctl keys`: API keys, with which programs use the platform in place of a password.

use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use common::clock::now;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::console::note;
use crate::failure::Failure;
use crate::patience;
use crate::problem_text::printable;
use crate::session::Session;
use crate::view::{aligned, minute};

/// The caller's own keys.
const KEYS: &str = "/v1/users/me/keys";

/// The commands on keys.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// List your keys, newest first.
    #[command(visible_alias = "ls")]
    List,
    /// Make a key, and print it: it is shown this once.
    ///
    /// Programs send it as `Authorization: Bearer KEY`; taskctl takes it in TASKCTL_TOKEN.
    Create(CreateArgs),
    /// Revoke a key: every server refuses it immediately.
    #[command(visible_alias = "rm")]
    Revoke {
        /// The name of the key, or its id.
        key: String,
    },
}

/// The arguments of `taskctl keys create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// The name, such as `nightly export`.
    name: String,
    /// What it permits; repeat it for several. Every key may read.
    #[arg(long, value_enum, default_value = "read")]
    scope: Vec<Scope>,
    /// After what time it expires, for example `30days`; by default never.
    #[arg(long, value_name = "DURATION", value_parser = patience::duration)]
    expires_in: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scope {
    /// Read what you may read.
    Read,
    /// Submit, stop, kill, resume and delete tasks too.
    Write,
    /// The same as an administrator; only administrators can give it.
    Admin,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

#[derive(Deserialize)]
struct KeyList {
    items: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    key_id: Uuid,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

/// `taskctl keys`.
pub(crate) async fn keys(session: &Session, command: KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::List => list(session).await?,
        KeysCommand::Create(args) => create(session, &args).await?,
        KeysCommand::Revoke { key } => revoke(session, &key).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let (document, KeyList { items }) = session.read(KEYS).await?;
    session.console.answer(&document, || match items.is_empty() {
        true => {
            format!("No keys. Make one with `{}`.", session.program("keys create NAME"))
        }
        false => table(&items),
    });
    Ok(())
}

fn table(keys: &[Key]) -> String {
    let header = ["NAME", "KEY", "SCOPES", "EXPIRES", "LAST USED"].map(str::to_owned);
    let time = |time: Option<DateTime<Utc>>| match time {
        Some(time) => minute(time),
        None => "never".to_owned(),
    };
    let row = |key: &Key| {
        let expires = match key.expires_at {
            Some(end) if end <= now() => "expired".to_owned(),
            end => time(end),
        };
        let prefix = format!("{}…", printable(&key.prefix));
        [printable(&key.name), prefix, key.scopes.join(" "), expires, time(key.last_used_at)]
    };
    let rows: Vec<_> = std::iter::once(header).chain(keys.iter().map(row)).collect();
    aligned(&rows, &[])
}

async fn create(session: &Session, args: &CreateArgs) -> Result<(), Failure> {
    let scopes: Vec<_> = args.scope.iter().map(|scope| scope.name()).collect();
    let seconds = args.expires_in.map(|duration| duration.as_secs());
    let body = json!({"name": args.name, "scopes": scopes, "expires_in": seconds});
    let request = session.client.request(Method::POST, KEYS).json(&body);
    let created: Value = session.client.json(request).await?;
    note("The key is shown this once; the server stores its hash only.");
    session.console.answer(&created, || created["key"].as_str().unwrap_or_default().to_owned());
    Ok(())
}

async fn revoke(session: &Session, key: &str) -> Result<(), Failure> {
    let KeyList { items } = session.client.get(KEYS).await?;
    let is_meant = |item: &&Key| item.name == key || item.key_id.to_string() == key;
    let Some(found) = items.iter().find(is_meant) else {
        let list = session.program("keys list");
        return Err(Failure::local(format!("You have no key `{key}`; `{list}` shows your keys.")));
    };
    let path = format!("{KEYS}/{}", found.key_id);
    session.client.send(session.client.request(Method::DELETE, &path)).await?;
    let document = json!({"key_id": found.key_id, "name": found.name, "revoked": true});
    session.console.answer(&document, || format!("{} is revoked.", printable(&found.name)));
    Ok(())
}
