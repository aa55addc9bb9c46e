//! Sends tasks by many concurrent clients.

use std::cell::Cell;
use std::fmt::Write;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;

use crate::account::Account;
use crate::arguments::{Kind, Load};

/// The times of the requests.
#[derive(Debug)]
pub struct Submitted {
    /// From the first request to the last answer; the connections were opened before.
    pub took: Duration,
    /// The time of each request.
    pub requests: Vec<Duration>,
}

/// Sends the tasks by `clients` concurrent clients, each with one request at a time. An answer
/// other than 202 is an error.
pub async fn submit(account: &Account, load: &Load) -> anyhow::Result<Submitted> {
    let clients = load.clients.clamp(1, load.tasks.div_ceil(load.bulk).max(1));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(account.connect().await?);
    }
    let next = Cell::new(0);
    let take = || {
        let first = next.get();
        let last = (first + load.bulk).min(load.tasks);
        next.set(last);
        (first < last).then_some(first..last)
    };
    let start = Instant::now();
    let sending = connections.into_iter().map(|mut connection| async move {
        let mut requests = Vec::new();
        while let Some(numbers) = take() {
            let request = match load.kind {
                Kind::Message => message(account, numbers.start),
                Kind::Event => events(account, numbers),
            };
            let sent = Instant::now();
            connection.send(&request).await?.expect(202)?;
            requests.push(sent.elapsed());
        }
        anyhow::Ok(requests)
    });
    let requests = try_join_all(sending).await?.concat();
    Ok(Submitted { took: start.elapsed(), requests })
}

/// A request with one message.
pub fn message(account: &Account, number: u64) -> Vec<u8> {
    let text = format!("Parcel {number} has arrived at the door of its new owner.");
    account.post("/v1/messages", &json!({ "message": text }).to_string())
}

/// A request with the events of these numbers.
fn events(account: &Account, numbers: std::ops::Range<u64>) -> Vec<u8> {
    // The ids of a user's events must be unique, including those of earlier runs.
    let run: u64 = rand::random();
    let mut list = String::from("[");
    for number in numbers {
        let comma = if list.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            list,
            r#"{comma}{{"id":"{run:x}-{number}","datetime":"2025-05-07T19:54:13Z","address":{{"city":"Portland","state":"Oregon","country":"United States","postCode":"97201"}}}}"#
        );
    }
    list.push(']');
    account.post("/v1/user_events", &list)
}
