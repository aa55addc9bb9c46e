//! The latency of messages at a steady rate, from the time at which each was due to be sent to its
//! result.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::account::Account;
use crate::arguments::Pace;
use crate::events::{Events, Task};
use crate::http::Connection;
use crate::quantiles::Quantiles;
use crate::submission;

/// A task that takes longer is an error.
const DEADLINE: Duration = Duration::from_secs(60);

/// A message that was accepted.
struct Accepted {
    task_id: String,
    due: Instant,
    took: Duration,
}

/// The events of all messages.
#[derive(Default)]
struct Log {
    accepted: Vec<Accepted>,
    /// When the first attempt of a task ended, and whether it had a result; the others are drawn
    /// again.
    ended: HashMap<String, (Instant, bool)>,
}

impl Log {
    /// Notes the next event: a message was accepted, or a task changed.
    async fn note_next(
        &mut self,
        sending: &mut (impl Stream<Item = anyhow::Result<Accepted>> + Unpin),
        events: &mut Events,
    ) -> anyhow::Result<()> {
        tokio::select! {
            Some(accepted) = sending.next() => self.accepted.push(accepted?),
            task = events.next() => self.note(task?)?,
        }
        Ok(())
    }

    fn note(&mut self, task: Task) -> anyhow::Result<()> {
        let has_result = match (task.state.as_str(), task.attempt) {
            ("processed", 1) => true,
            ("processed", _) | ("queued", 1..) | ("processing", 2..) => false,
            ("queued" | "processing", _) => return Ok(()),
            (state, _) => bail!("task {} is {state}", task.task_id),
        };
        self.ended.entry(task.task_id).or_insert((Instant::now(), has_result));
        Ok(())
    }

    fn is_whole(&self, count: u64) -> bool {
        let has_ended = |one: &Accepted| self.ended.contains_key(&one.task_id);
        self.accepted.len() as u64 == count && self.accepted.iter().all(has_ended)
    }
}

/// Sends messages at the pace, regardless of whether earlier ones are finished, and follows all.
pub async fn measure(account: &Account, pace: Pace) -> anyhow::Result<Value> {
    let mut events = Events::open(account).await?;
    let idle = RefCell::new(Vec::new());
    let mut sending = FuturesUnordered::new();
    let mut log = Log::default();
    let start = Instant::now();
    let count = u64::from(pace.rate) * u64::from(pace.seconds);
    for number in 0..count {
        let at = start + Duration::from_secs(1) * number as u32 / pace.rate.max(1);
        let due = pause(at.saturating_duration_since(Instant::now()));
        tokio::pin!(due);
        loop {
            tokio::select! {
                () = &mut due => break,
                noted = log.note_next(&mut sending, &mut events) => noted?,
            }
        }
        sending.push(send(account, &idle, number, at));
    }
    let deadline = Instant::now() + DEADLINE;
    while !log.is_whole(count) {
        let noted = timeout_at(deadline, log.note_next(&mut sending, &mut events)).await;
        noted.context("there are unfinished tasks at the deadline")??;
    }
    let result = |one: &Accepted| {
        let (ended, has_result) = log.ended.get(&one.task_id)?;
        has_result.then(|| ended.saturating_duration_since(one.due))
    };
    let results: Vec<_> = log.accepted.iter().filter_map(result).collect();
    let to_accepted = log.accepted.iter().map(|one| one.took).collect();
    Ok(json!({
        "mode": "latency",
        "user": account.name(),
        "rate": pace.rate,
        "accepted": log.accepted.len(),
        "drawn_again": log.accepted.len() - results.len(),
        "to_accepted": Quantiles::of(to_accepted).to_json(),
        "to_result": Quantiles::of(results).to_json(),
    }))
}

/// Sends a message that is due now.
async fn send(
    account: &Account,
    idle: &RefCell<Vec<Connection>>,
    number: u64,
    due: Instant,
) -> anyhow::Result<Accepted> {
    let kept = idle.borrow_mut().pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => account.connect().await?,
    };
    let answer = connection.send(&submission::message(account, number)).await?.expect(202)?;
    let took = due.elapsed();
    let task: Task = serde_json::from_slice(answer.body)?;
    idle.borrow_mut().push(connection);
    Ok(Accepted { task_id: task.task_id, due, took })
}

/// Sleeps on a thread, because tokio's timer has a resolution of a millisecond and would add one or
/// two to each wait.
async fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "it waits until a time, not for a condition")]
    let sleeping = tokio::task::spawn_blocking(move || std::thread::sleep(time));
    // It fails only if the runtime shuts down.
    let _ = sleeping.await;
}
