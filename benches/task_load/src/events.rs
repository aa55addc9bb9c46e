//! The server-sent events of a user's tasks, as they come.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::account::Account;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A task as it is now.
#[derive(Debug, Deserialize)]
pub struct Task {
    pub task_id: String,
    pub state: String,
    pub attempt: u32,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Events {
    /// Listens to all tasks of the user, from now on.
    pub async fn open(account: &Account) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(account.address()).await?;
        stream.write_all(&account.stream("/v1/tasks/events")).await?;
        let mut events = Self { stream, buffer: Vec::with_capacity(64 << 10) };
        let head = events.through(END_OF_HEAD).await?;
        let head = String::from_utf8_lossy(&head);
        ensure!(head.get(9..12) == Some("200"), "the server answered {head}");
        Ok(events)
    }

    /// The next task that changed. What was read of one stays when this is dropped.
    pub async fn next(&mut self) -> anyhow::Result<Task> {
        loop {
            let line = self.through(b"\n").await?;
            if let Some(data) = line.strip_prefix(b"data:") {
                return serde_json::from_slice(data).context("this is no task");
            }
        }
    }

    async fn through(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            let found = self.buffer.windows(end.len()).position(|bytes| bytes == end);
            if let Some(place) = found {
                return Ok(self.buffer.drain(..place + end.len()).collect());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the stream of events ended");
            }
        }
    }
}
