//! The server-sent events of a user's tasks, as they come.

use anyhow::Context;
use serde::Deserialize;

use crate::account::Account;
use crate::http::Connection;

/// A task as it is now.
#[derive(Debug, Deserialize)]
pub struct Task {
    pub task_id: String,
    pub state: String,
    pub attempt: u32,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events(Connection);

impl Events {
    /// Listens to all tasks of the user, from now on.
    pub async fn open(account: &Account) -> anyhow::Result<Self> {
        let mut connection = account.connect().await?;
        connection.listen(&account.get_stream("/v1/tasks/events")).await?;
        Ok(Self(connection))
    }

    /// The next task that changed. What was read of one stays when this is dropped.
    pub async fn next(&mut self) -> anyhow::Result<Task> {
        loop {
            let line = self.0.line().await?;
            if let Some(data) = line.strip_prefix(b"data:") {
                return serde_json::from_slice(data).context("this is no task");
            }
        }
    }
}
