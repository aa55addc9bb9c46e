//! Waits for the end of the tasks, and verifies their outcome.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::http::Connection;

/// The interval at which unfinished tasks are polled, once all are accepted.
const INTERVAL: Duration = Duration::from_millis(200);
const UNFINISHED: &str = "/v1/tasks?state=queued&state=processing&page_size=1";

/// The times at which the tasks of a user finished, sorted.
#[derive(Debug)]
pub struct Finished(pub Vec<DateTime<Utc>>);

#[derive(Deserialize)]
struct Page {
    items: Vec<Task>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Task {
    task_id: String,
    state: String,
    finished_at: Option<DateTime<Utc>>,
}

/// Waits until all tasks of the user have finished.
pub async fn wait(account: &Account, deadline: Duration) -> anyhow::Result<()> {
    let mut connection = account.connect().await?;
    let unfinished = account.get(UNFINISHED);
    let deadline = Instant::now() + deadline;
    while !page(&mut connection, &unfinished).await?.items.is_empty() {
        ensure!(Instant::now() < deadline, "there are unfinished tasks at the deadline");
        sleep(INTERVAL).await;
    }
    Ok(())
}

/// Checks that `count` tasks exist, that all of them are processed, and that they left as many
/// records, so that each was finished exactly once.
pub async fn verify(account: &Account, count: u64, kind: Records) -> anyhow::Result<Finished> {
    let mut connection = account.connect().await?;
    let mut ends = Vec::new();
    let mut ids = std::collections::HashSet::new();
    let mut token = None;
    loop {
        let after = token.map(|token: String| format!("&page_token={token}")).unwrap_or_default();
        let request = account.get(&format!("/v1/tasks?page_size=10000{after}"));
        let page = page(&mut connection, &request).await?;
        for Task { task_id, state, finished_at } in page.items {
            ensure!(state == "processed", "task {task_id} is {state}");
            ends.push(finished_at.with_context(|| format!("task {task_id} has no end time"))?);
            ids.insert(task_id);
        }
        token = page.next_page_token;
        if token.is_none() {
            break;
        }
    }
    let found = ids.len() as u64;
    ensure!(found == count, "{count} tasks were accepted, but {found} exist");
    let records = kind.count(account, &mut connection).await?;
    ensure!(records == count, "{count} tasks were accepted, but {records} records exist");
    ends.sort_unstable();
    Ok(Finished(ends))
}

async fn page(connection: &mut Connection, request: &[u8]) -> anyhow::Result<Page> {
    Ok(serde_json::from_slice(connection.send(request).await?.expect(200)?.body)?)
}

/// The kind of record that a finished task leaves; one for each task.
#[derive(Debug, Clone, Copy)]
pub enum Records {
    Messages,
    Events,
}

#[derive(Deserialize)]
struct Counts {
    counts: Vec<Count>,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
struct Report {
    stats: std::collections::BTreeMap<String, u64>,
}

impl Records {
    async fn count(self, account: &Account, connection: &mut Connection) -> anyhow::Result<u64> {
        let path = match self {
            Self::Messages => "/v1/messages/counts?by=category",
            Self::Events => "/v1/reports/user_events",
        };
        let answer = connection.send(&account.get(path)).await?.expect(200)?;
        Ok(match self {
            Self::Messages => {
                let Counts { counts } = serde_json::from_slice(answer.body)?;
                counts.iter().map(|Count { count }| count).sum()
            }
            Self::Events => {
                let Report { stats } = serde_json::from_slice(answer.body)?;
                stats.values().sum()
            }
        })
    }
}
