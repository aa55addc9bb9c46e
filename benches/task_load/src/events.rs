//! The server-sent events of a user's tasks.

use anyhow::Context;
use serde::Deserialize;

use crate::account::Account;
use crate::http::Connection;

/// The current state of a task.
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
    /// Subscribes to all tasks of the user.
    pub async fn open(account: &Account) -> anyhow::Result<Self> {
        let mut connection = account.connect().await?;
        connection.listen(&account.get_stream("/v1/tasks/events")).await?;
        Ok(Self(connection))
    }

    /// The next task that changed. Cancel-safe.
    pub async fn next(&mut self) -> anyhow::Result<Task> {
        loop {
            let line = self.0.line().await?;
            if let Some(data) = line.strip_prefix(b"data:") {
                return serde_json::from_slice(data).context("the event is not a task");
            }
        }
    }
}
