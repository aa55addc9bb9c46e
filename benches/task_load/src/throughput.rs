//! The number of tasks accepted and finished per second.
//!
//! One message in ten is delayed by four seconds for another draw, so the end of the last task
//! would measure this delay as much as the platform. Therefore `complete_per_second` is the rate
//! until 85 % are finished, by the times at which the server finished them. The first draws of the
//! others, and the complete submission, are part of the work until then.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::account::Account;
use crate::arguments::{Kind, Load};
use crate::finish::{self, Finished, Records};
use crate::quantiles::Quantiles;
use crate::submission::submit;

/// The share of the tasks that the rate covers.
const MOST: f64 = 0.85;

/// Sends the tasks. Unless `no_wait` is set, waits for their end and checks that each finished
/// once.
pub async fn measure(account: &Account, load: &Load) -> anyhow::Result<Value> {
    let start = DateTime::<Utc>::from(SystemTime::now());
    let submitted = submit(account, load).await?;
    let mut measured = json!({
        "mode": "throughput",
        "user": account.name(),
        "accepted": load.tasks,
        "clients": load.clients,
        "bulk": load.bulk,
        "submit_per_second": load.tasks as f64 / submitted.took.as_secs_f64(),
        "requests": Quantiles::of(submitted.requests).to_json(),
    });
    if load.no_wait {
        return Ok(measured);
    }
    finish::wait(account, Duration::from_secs(load.deadline)).await?;
    let records = match load.kind {
        Kind::Message => Records::Messages,
        Kind::Event => Records::Events,
    };
    let Finished(ends) = finish::verify(account, load.tasks, records).await?;
    let most = (ends.len() as f64 * MOST) as usize;
    let seconds = |end: DateTime<Utc>| (end - start).as_seconds_f64();
    let until_most = seconds(*ends.get(most).context("there are no tasks")?);
    measured["complete_per_second"] = json!(most as f64 / until_most);
    measured["finished"] = json!(ends.len());
    measured["seconds_until_all"] = json!(ends.last().copied().map(seconds));
    Ok(measured)
}
