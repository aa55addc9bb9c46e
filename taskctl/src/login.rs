//! Sign up, log in, log out.
//!
//! A password comes from the terminal, the standard input or a file, never from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use common::client::{ClientError, IDEMPOTENCY_KEY};
use common::password;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::connection::TOKEN;
use crate::console::note;
use crate::credentials::{self, Credentials, Holder};
use crate::failure::Failure;
use crate::repeats::Repeats;
use crate::session::Session;
use crate::view::minute;

/// The user to sign up or log in.
#[derive(Debug, Clone, Args)]
pub(crate) struct UserArgs {
    /// The name: 5 to 15 letters and digits.
    username: String,
    /// A file whose first line is the password; else it is asked for on a terminal, or is the first
    /// line of the standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct User {
    user_id: String,
    username: String,
}

/// `taskctl register`.
pub(crate) async fn register(session: &Session, args: UserArgs) -> Result<ExitCode, Failure> {
    let password = read(&args, || password::new_password(args.password_file.as_deref()))?;
    let mut repeats = Repeats::new();
    let user: User = loop {
        let request = post(session, "/v1/users", &args.username, &password);
        let request = request.header(IDEMPOTENCY_KEY, repeats.key());
        match session.client.json(request).await {
            Err(error) if repeats.again(&error).await => {}
            answer => break answer?,
        }
    };
    session.console.answer(&user, || {
        let name = &user.username;
        format!("{name} is signed up. Log in with `{}`.", session.program(&format!("login {name}")))
    });
    Ok(ExitCode::SUCCESS)
}

/// `taskctl login`: saves the token for later commands.
pub(crate) async fn login(session: &Session, args: UserArgs) -> Result<ExitCode, Failure> {
    let password = read(&args, || password::password(args.password_file.as_deref()))?;
    let request = post(session, "/v1/sessions", &args.username, &password);
    let given: credentials::Session = session.client.json(request).await?;
    let expires_at = given.expires_at;
    let mut credentials = Credentials::load()?;
    credentials.set_session(&session.holder, Some(given));
    let path = credentials.save()?;
    if common::config::variable(TOKEN).is_some() {
        note("The variable TASKCTL_TOKEN is set and overrides the token that was just saved.");
    }
    session.console.answer(&json!({"expires_at": expires_at}), || {
        let until = expires_at.map(|end| format!(" until {}", minute(end)));
        let of = match &session.holder {
            Holder::Server(_) => String::new(),
            Holder::Context(name) => format!(", in the context {name}"),
        };
        format!(
            "{} is logged in{}{of}; the token is in {}.",
            args.username,
            until.unwrap_or_default(),
            path.display()
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// `taskctl logout`: revokes the token, and removes it here.
pub(crate) async fn logout(session: &Session) -> Result<ExitCode, Failure> {
    let request = session.client.request(Method::DELETE, "/v1/sessions/current");
    match session.client.send(request).await {
        Ok(_) => {}
        // The token has expired, or was missing: the session has ended already.
        Err(ClientError::Problem(problem)) if matches!(problem.status, 401 | 409) => {}
        Err(error) => return Err(error.into()),
    }
    let mut credentials = Credentials::load()?;
    if credentials.set_session(&session.holder, None) {
        credentials.save()?;
    }
    session.console.answer(&json!({"logged_out": true}), || "Logged out.".to_owned());
    Ok(ExitCode::SUCCESS)
}

/// A file that cannot be read is a failure; a missing password is wrong usage.
fn read(
    args: &UserArgs,
    password: impl FnOnce() -> anyhow::Result<SecretString>,
) -> Result<SecretString, Failure> {
    let failure: fn(String) -> Failure = match args.password_file {
        Some(_) => Failure::local,
        None => Failure::usage,
    };
    password().map_err(|error| failure(format!("{error:#}.")))
}

fn post(session: &Session, path: &str, username: &str, password: &SecretString) -> RequestBuilder {
    let body = json!({"username": username, "password": password.expose_secret()});
    session.client.request(Method::POST, path).json(&body)
}
