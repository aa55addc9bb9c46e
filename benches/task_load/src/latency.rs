//! How long a message takes at a steady rate, from when it was to be sent to its result.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::account::Account;
use crate::arguments::Pace;
use crate::http::Connection;
use crate::quantiles::Quantiles;
use crate::submission;

/// Between two looks at a task.
const INTERVAL: Duration = Duration::from_millis(1);
/// A task that takes longer is an error.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Task {
    task_id: String,
    state: String,
    attempt: u32,
}

/// How long a task took.
struct Taken {
    to_accepted: Duration,
    /// `None` where it is drawn again.
    to_result: Option<Duration>,
}

/// Sends messages at the pace, whether or not those before are finished, and follows each.
pub async fn measure(account: &Account, pace: Pace) -> anyhow::Result<Value> {
    let idle = RefCell::new(Vec::new());
    let mut running = FuturesUnordered::new();
    let mut taken = Vec::new();
    let start = Instant::now();
    let count = u64::from(pace.rate) * u64::from(pace.seconds);
    for number in 0..count {
        let at = start + Duration::from_secs(1) * number as u32 / pace.rate.max(1);
        let due = pause(at.saturating_duration_since(Instant::now()));
        tokio::pin!(due);
        loop {
            tokio::select! {
                () = &mut due => break,
                Some(one) = running.next() => taken.push(one?),
            }
        }
        running.push(follow(account, &idle, number, at));
    }
    while let Some(one) = running.next().await {
        taken.push(one?);
    }
    let results: Vec<_> = taken.iter().filter_map(|one| one.to_result).collect();
    Ok(json!({
        "mode": "latency",
        "user": account.name(),
        "rate": pace.rate,
        "accepted": taken.len(),
        "drawn_again": taken.len() - results.len(),
        "to_accepted": Quantiles::of(taken.iter().map(|one| one.to_accepted).collect()).to_json(),
        "to_result": Quantiles::of(results).to_json(),
    }))
}

/// Sends a message that is due now, and looks at its task until it has ended or is drawn again.
async fn follow(
    account: &Account,
    idle: &RefCell<Vec<Connection>>,
    number: u64,
    due: Instant,
) -> anyhow::Result<Taken> {
    let kept = idle.borrow_mut().pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => account.connect().await?,
    };
    let answer = connection.send(&submission::message(account, number)).await?.expect(202)?;
    let to_accepted = due.elapsed();
    let task: Task = serde_json::from_slice(answer.body)?;
    let look = account.get(&format!("/v1/tasks/{}", task.task_id));
    let to_result = loop {
        let answer = connection.send(&look).await?.expect(200)?;
        let took = due.elapsed();
        let task: Task = serde_json::from_slice(answer.body).context("this is no task")?;
        match (task.state.as_str(), task.attempt) {
            ("processed", 1) => break Some(took),
            ("processed", _) | ("queued", 1..) => break None,
            ("queued" | "processing", _) => {}
            (state, _) => bail!("task {} is {state}", task.task_id),
        }
        ensure!(took < DEADLINE, "task {} does not end", task.task_id);
        pause(INTERVAL).await;
    };
    idle.borrow_mut().push(connection);
    Ok(Taken { to_accepted, to_result })
}

/// Waits, by a thread's clock: that of tokio counts whole milliseconds, and would add one or two to each
/// wait.
async fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "it waits for a time, and nothing else")]
    let sleeping = tokio::task::spawn_blocking(move || std::thread::sleep(time));
    // Only a runtime that ends cuts it.
    let _ = sleeping.await;
}
