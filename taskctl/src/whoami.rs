//! `taskctl whoami`: the user of the token, as the server knows it.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::failure::Failure;
use crate::problem_text::printable;
use crate::session::Session;
use crate::view::minute;

/// The user of a request.
#[derive(Deserialize)]
struct CurrentUser {
    username: String,
    role: String,
    login_required: bool,
    session: Option<CurrentSession>,
    /// Absent from servers without API keys.
    #[serde(default)]
    api_key: Option<CurrentKey>,
}

#[derive(Deserialize)]
struct CurrentSession {
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct CurrentKey {
    scopes: Vec<String>,
}

/// `taskctl whoami`.
pub(crate) async fn whoami(session: &Session) -> Result<ExitCode, Failure> {
    let (document, user) = session.read::<CurrentUser>("/v1/users/me").await?;
    session.console.answer(&document, || {
        let server = session.client.server();
        let name = printable(&user.username);
        let role = match user.role.as_str() {
            "admin" => ", administrator",
            "viewer" => ", viewer",
            _ => "",
        };
        let login = match (&user.session, &user.api_key) {
            (Some(session), _) => {
                format!("logged in until {}", minute(session.expires_at))
            }
            (None, Some(key)) => format!("by an API key for {}", key.scopes.join(" and ")),
            (None, None) if user.login_required => "logged in".to_owned(),
            (None, None) => "no login required".to_owned(),
        };
        format!("{name}{role} on {server}; {login}")
    });
    Ok(ExitCode::SUCCESS)
}
