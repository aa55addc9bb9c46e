//! The shared context of commands for a server.

use common::client::{ApiClient, ClientError};
use common::task::TaskId;
use common::tls::Trust;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connection::{Connection, Resolved, TOKEN};
use crate::console::Console;
use crate::credentials::{self, Holder};
use crate::failure::Failure;

/// A server and a terminal.
#[derive(Debug)]
pub(crate) struct Session {
    /// The client of the server.
    pub(crate) client: ApiClient,
    /// The output to the user.
    pub(crate) console: Console,
    /// The user's id, if there is a token that says it.
    pub(crate) user: Option<String>,
    /// Who keeps the token in the file.
    pub(crate) holder: Holder,
    /// The options with which other commands use this server.
    options: String,
    trust: Trust,
}

impl Session {
    /// A session with the server of `connection`, without a request.
    pub(crate) fn new(connection: &Connection, console: Console) -> Result<Self, Failure> {
        let Resolved { server, ca_file, token, holder, options } = connection.resolve()?;
        let trust = Trust::with_file(ca_file.as_deref())
            .map_err(|error| Failure::local(format!("--ca-file (or TASKCTL_CA_FILE): {error}.")))?;
        let user = token.as_ref().and_then(credentials::subject);
        match ApiClient::trusting(&server, token, trust.clone()) {
            Ok(client) => Ok(Self { client, console, user, holder, options, trust }),
            Err(ClientError::Unexpected { reason, .. }) => Err(Failure::usage(format!(
                "The server's URL `{server}` (--server or TASKCTL_SERVER) cannot be used: {reason}."
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The same without the token of the file, if the server requires none.
    pub(crate) async fn without_token(self) -> Option<Self> {
        if common::config::variable(TOKEN).is_some() {
            return None;
        }
        let server = self.client.server().to_owned();
        let client = ApiClient::trusting(&server, None, self.trust.clone()).ok()?;
        client.send(client.request(Method::GET, "/v1/users/me")).await.ok()?;
        Some(Self { client, user: None, ..self })
    }

    /// `GET path`: the document as the server sent it, which may have more than this version knows,
    /// and what it says.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(Value, T), Failure> {
        let document: Value = self.client.get(path).await?;
        let known = T::deserialize(&document)
            .map_err(|error| Failure::local(format!("The server's answer is unknown: {error}.")))?;
        Ok((document, known))
    }

    /// The command line that applies `verb` to a task on this server, for hints.
    pub(crate) fn command(&self, verb: &str, id: TaskId) -> String {
        self.program(&format!("{verb} {id}"))
    }

    /// The command line that runs `what` on this server, for hints: without what the environment
    /// says.
    pub(crate) fn program(&self, what: &str) -> String {
        format!("taskctl{} {what}", self.options)
    }
}

/// The path of a task in the API.
pub(crate) fn task_path(id: TaskId) -> String {
    format!("/v1/tasks/{id}")
}
