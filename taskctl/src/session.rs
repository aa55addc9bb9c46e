//! The shared context of commands for a server.

use std::path::Path;

use common::client::{ApiClient, ClientError};
use common::task::TaskId;
use common::tls::Trust;

use crate::console::Console;
use crate::failure::Failure;
use crate::tokens;

/// The default URL of a standalone server.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:5000";

/// A server and a terminal.
#[derive(Debug)]
pub(crate) struct Session {
    /// The client of the server.
    pub(crate) client: ApiClient,
    /// The output to the user.
    pub(crate) console: Console,
    /// The user's id, if there is a token that says it.
    pub(crate) user: Option<String>,
}

impl Session {
    /// A session with the server at the URL `server`, without a request.
    pub(crate) fn new(
        server: &str,
        ca_file: Option<&Path>,
        console: Console,
    ) -> Result<Self, Failure> {
        let trust = Trust::with_file(ca_file)
            .map_err(|error| Failure::usage(format!("--ca-file (or TASKCTL_CA_FILE): {error}.")))?;
        let token = tokens::of(server)?;
        let user = token.as_ref().and_then(tokens::subject);
        match ApiClient::trusting(server, token, trust) {
            Ok(client) => Ok(Self { client, console, user }),
            Err(ClientError::Unexpected { reason, .. }) => Err(Failure::usage(format!(
                "The server's URL `{server}` (--server or TASKCTL_SERVER) cannot be used: {reason}."
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The command line that applies `verb` to a task on this server, for hints.
    pub(crate) fn command(&self, verb: &str, id: TaskId) -> String {
        self.program(&format!("{verb} {id}"))
    }

    /// The command line that runs `what` on this server, for hints.
    pub(crate) fn program(&self, what: &str) -> String {
        match self.client.server() {
            DEFAULT_SERVER => format!("taskctl {what}"),
            server => format!("taskctl --server {server} {what}"),
        }
    }
}

/// The path of a task in the API.
pub(crate) fn task_path(id: TaskId) -> String {
    format!("/v1/tasks/{id}")
}
