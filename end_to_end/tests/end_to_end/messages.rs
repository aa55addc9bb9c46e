//! Messages: the categories follow the draws, and each message is tracked once, even if all
//! processes die while a message waits for its second draw.

use std::collections::BTreeSet;
use std::convert::Infallible;

use bytes::Bytes;
use chrono::TimeDelta;
use common::message::{Category, Validation};
use common::task::{TaskId, TaskState, TaskView};
use futures_util::{StreamExt, stream};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, eventually};
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::standalone::Standalone;

/// The number of concurrent clients.
const CLIENTS: usize = 20;
/// Enough messages that one is almost certainly retried: the probability of none is 0.9 to this
/// power.
const SOME: usize = 150;

async fn send(api: &Api, number: usize) -> (TaskId, u64) {
    let body = json!({"message": format!("message number {number}")});
    let response = api.request(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let accepted: Value = response.json().await.unwrap();
    let id = serde_json::from_value(accepted["task_id"].clone()).unwrap();
    (id, accepted["request_count"].as_u64().unwrap())
}

/// Sends messages; returns their tasks.
async fn send_all(api: &Api, count: usize) -> Vec<TaskId> {
    let sent: Vec<(TaskId, u64)> =
        stream::iter(0..count).map(|number| send(api, number)).buffered(CLIENTS).collect().await;
    let counts: BTreeSet<u64> = sent.iter().map(|sent| sent.1).collect();
    assert_eq!(counts, (1..=count as u64).collect(), "no gap and no repeat");
    sent.into_iter().map(|sent| sent.0).collect()
}

/// Waits until all are processed, and checks that each is tracked once, according to its result.
async fn all_tracked(api: &Api, ids: &[TaskId]) -> Vec<(TaskView, Validation)> {
    let ended: Vec<TaskView> =
        stream::iter(ids).map(|id| api.wait_for_end(*id)).buffered(CLIENTS).collect().await;
    let list: Value = api.get("/v1/messages?page_size=10000").await.json().await.unwrap();
    let tracked = list["items"].as_array().unwrap();
    assert_eq!(tracked.len(), ids.len());
    let result = |task: TaskView| {
        assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
        let validation: Validation = serde_json::from_value(task.result.clone().unwrap()).unwrap();
        let of_task = |item: &&Value| item["id"] == json!(task.task_id);
        let item = tracked.iter().find(of_task).unwrap();
        assert_eq!(item["category"], json!(validation.category));
        (task, validation)
    };
    ended.into_iter().map(result).collect()
}

#[tokio::test]
async fn messages_are_sorted_into_direct_retried_and_failed() {
    const COUNT: usize = 300;
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let ids = send_all(&server.api, COUNT).await;
    let tracked = all_tracked(&server.api, &ids).await;
    let mut counts = [0_u64; 3];
    for (task, Validation { category, number, draws }) in &tracked {
        counts[*category as usize] += 1;
        assert_eq!(*draws, if *category == Category::Direct { 1 } else { 2 });
        assert_eq!(number.is_multiple_of(10), *category == Category::Failed);
        assert_eq!((task.attempt, task.failures), (u32::from(*draws), 0));
        let took = task.finished_at.unwrap() - task.started_at.unwrap();
        assert!(*category == Category::Direct || took >= TimeDelta::seconds(4), "{took}");
    }
    // Bounds of more than five standard deviations around the expected 270, 27 and 3.
    let [direct, retried, failed] = counts;
    assert!((240..=296).contains(&direct), "{counts:?}");
    assert!((2..=55).contains(&retried), "{counts:?}");
    assert!(failed <= 14, "{counts:?}");
    let by: Value = server.api.get("/v1/messages/counts?by=category").await.json().await.unwrap();
    let by_category: u64 =
        by["counts"].as_array().unwrap().iter().map(|by| by["count"].as_u64().unwrap()).sum();
    assert_eq!(by_category, COUNT as u64);
    let path = "/v1/messages?text=%22number%20277%22";
    let found: Value = server.api.get(path).await.json().await.unwrap();
    assert_eq!(found["items"][0]["message"], "message number 277");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_bulk_request_takes_little_memory() {
    const COUNT: u64 = 100_000;
    /// Far less than the request of 100 MB.
    const LITTLE: u64 = 48 << 20;
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    server.api.get("/v1/messages").await;
    let before = server.peak_memory();
    let line = |number| format!("{{\"message\": \"m{number} {}\"}}\n", "x".repeat(1_000));
    let lines = (0..COUNT).map(move |number| Ok::<_, Infallible>(Bytes::from(line(number))));
    let body = Body::wrap_stream(stream::iter(lines));
    let request = server.api.request(Method::POST, "/v1/messages/bulk").body(body);
    let request = request.header("content-type", "application/x-ndjson");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"inserted": COUNT, "errors": [], "error_count": 0}));
    let grown = server.peak_memory() - before;
    assert!(grown < LITTLE, "{} MB more", grown >> 20);
    let found: Value = server.api.get("/v1/messages?text=m77777").await.json().await.unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

/// Waits until all are processed except those with a second draw; returns these.
async fn waiting(api: &Api, ids: &[TaskId]) -> Vec<TaskId> {
    eventually("only messages with a second draw are left", async || {
        let tasks = api.tasks().await;
        assert_eq!(tasks.len(), ids.len());
        let left = tasks.iter().filter(|task| task.state != TaskState::Processed);
        let waits = |task: &&TaskView| task.state == TaskState::Queued && task.attempt == 1;
        let waiting: Vec<_> = left.clone().filter(waits).map(|task| task.task_id).collect();
        (waiting.len() == left.count()).then_some(waiting)
    })
    .await
}

/// The messages with a second draw after the crash.
fn drawn_again(tracked: &[(TaskView, Validation)], waiting: &[TaskId]) {
    assert!(!waiting.is_empty(), "no second draw was pending at the crash");
    for (task, validation) in tracked.iter().filter(|(task, _)| waiting.contains(&task.task_id)) {
        assert_eq!((validation.draws, task.attempt, task.failures), (2, 2, 0));
        assert_ne!(validation.category, Category::Direct);
        assert!(task.finished_at.unwrap() - task.started_at.unwrap() >= TimeDelta::seconds(4));
    }
}

#[tokio::test]
async fn a_retried_message_survives_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let ids = send_all(&server.api, SOME).await;
    let waiting = waiting(&server.api, &ids).await;
    server.crash().await;
    let tracked = all_tracked(&server.api, &ids).await;
    drawn_again(&tracked, &waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_message_survives_the_death_of_a_fleet() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let worker = fleet.add_worker(4).await;
    let ids = send_all(&fleet.api, SOME).await;
    let waiting = waiting(&fleet.api, &ids).await;
    fleet.kill_manager(0);
    fleet.worker(worker).kill9();
    fleet.add_manager().await;
    fleet.add_worker(4).await;
    let tracked = all_tracked(&fleet.api, &ids).await;
    drawn_again(&tracked, &waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_manager_killed_before_publishing_are_validated() {
    let mut fleet = Fleet::start(Services::shared()).await;
    // Messages accepted now are committed but not published.
    fleet.to_broker.stall();
    let ids = send_all(&fleet.api, SOME).await;
    let held = "SELECT COUNT(*) FROM outbox WHERE locked_until > UTC_TIMESTAMP(6)";
    assert_eq!(fleet.sql(held), SOME.to_string());
    fleet.kill_manager(0);
    // Drops the data in the network too.
    fleet.to_broker.cut();
    fleet.to_broker.heal();
    fleet.add_manager().await;
    fleet.add_worker(4).await;
    all_tracked(&fleet.api, &ids).await;
    fleet.is_at_rest().await;
}
