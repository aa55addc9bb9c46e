//! The latency of listing tasks and of showing one, with one request at a time.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::Account;
use crate::arguments::Reads;
use crate::quantiles::Quantiles;

const LIST: &str = "/v1/tasks";
/// The maximum time for one kind of read.
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Page {
    items: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    task_id: String,
    queue_position: Option<u64>,
}

/// Reads the list of the newest tasks, the list of queued tasks, the newest task, and the named
/// ones.
pub async fn measure(account: &Account, reads: &Reads) -> anyhow::Result<Value> {
    let mut connection = account.connect().await?;
    let answer = connection.send(&account.get(LIST)).await?.expect(200)?;
    let page: Page = serde_json::from_slice(answer.body)?;
    let newest = page.items.into_iter().next().context("the user has no task")?;
    let mut measured = json!({
        "mode": "reads",
        "list": times(account, reads.times, LIST).await?,
        "list_queued": times(account, reads.times, "/v1/tasks?state=queued").await?,
        "newest": times(account, reads.times, &path(&newest)).await?,
    });
    let mut named = Vec::new();
    for id in &reads.task {
        let answer = connection.send(&account.get(&format!("{LIST}/{id}"))).await?.expect(200)?;
        let task: Task = serde_json::from_slice(answer.body)?;
        let mut one = times(account, reads.times, &path(&task)).await?;
        one["queue_position"] = json!(task.queue_position);
        named.push(one);
    }
    measured["named"] = json!(named);
    Ok(measured)
}

fn path(task: &Task) -> String {
    format!("{LIST}/{}", task.task_id)
}

async fn times(account: &Account, times: usize, path: &str) -> anyhow::Result<Value> {
    let mut connection = account.connect().await?;
    let request = account.get(path);
    let mut taken = Vec::new();
    let begin = Instant::now();
    while taken.len() < times && (taken.is_empty() || begin.elapsed() < LONGEST) {
        let start = Instant::now();
        connection.send(&request).await?.expect(200)?;
        taken.push(start.elapsed());
    }
    Ok(Quantiles::of(taken).to_json())
}
