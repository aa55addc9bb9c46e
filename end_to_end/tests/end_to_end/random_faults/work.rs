//! Clients that submit tasks of all kinds, interrupt some of them, and know the expected results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::task::{AcceptedTask, TaskId, TaskState};
use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::end_to_end::api::Api;
use crate::end_to_end::fleet::Fleet;
use crate::end_to_end::people::People;
use crate::end_to_end::plays::Plays;

const CLIENTS: u64 = 4;
/// How many results are checked concurrently.
const CHECKS: usize = 8;
/// The timeout of a client.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits before its next request.
const PAUSE: Duration = Duration::from_millis(100);

/// The expected outcome of an accepted task.
enum Expected {
    Sums(Plays),
    Rows(People),
    Processed,
    /// An interrupt was requested; the task may have ended before.
    Interrupted(TaskState),
}

impl Expected {
    /// Compares the outcome of a task with the expected one; returns its state.
    async fn check(&self, api: &Api, id: TaskId) -> TaskState {
        let task = api.task(id).await;
        match self {
            Self::Interrupted(wanted) => {
                let states = [*wanted, TaskState::Processed, TaskState::Stopped];
                assert!(states.contains(&task.state), "{task:?}");
            }
            _ => assert_eq!(task.state, TaskState::Processed, "{task:?}"),
        }
        match self {
            Self::Sums(plays) => assert_eq!(api.result(id).await, plays.sums()),
            Self::Rows(people) => people.assert_loaded(api, id).await,
            Self::Processed | Self::Interrupted(_) => {}
        }
        task.state
    }
}

/// Running clients.
pub struct Work {
    clients: JoinSet<Vec<(TaskId, Expected)>>,
    is_over: Arc<AtomicBool>,
}

/// Accepted tasks with their expected outcomes.
pub struct Accepted(Vec<(TaskId, Expected)>);

impl Work {
    pub fn start(api: &Api, seed: u64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let random = StdRng::seed_from_u64(seed.wrapping_add(number + 1));
            clients.spawn(client(api.clone(), random, Arc::clone(&is_over)));
        }
        Self { clients, is_over }
    }

    /// Lets every client finish its request, and returns the accepted tasks.
    pub async fn finish(self) -> Accepted {
        self.is_over.store(true, Ordering::Relaxed);
        Accepted(self.clients.join_all().await.into_iter().flatten().collect())
    }
}

async fn client(api: Api, mut random: StdRng, is_over: Arc<AtomicBool>) -> Vec<(TaskId, Expected)> {
    let mut accepted = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        accepted.extend(hand_over(&api, &mut random).await);
        if random.random_bool(0.1) && !accepted.is_empty() {
            let number = random.random_range(0..accepted.len());
            let (id, expected) = &mut accepted[number];
            interrupt(&api, *id, expected, &mut random).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    accepted
}

/// Sends one request that creates tasks; none if it was refused or not answered.
async fn hand_over(api: &Api, random: &mut StdRng) -> Vec<(TaskId, Expected)> {
    match random.random_range(0..100) {
        0..40 => {
            let rows = if random.random_bool(0.1) { 20_000 } else { random.random_range(0..50) };
            let times = random.random_range(1..5);
            let plays = Plays::random(random, rows, times);
            let id = answered::<AcceptedTask>(api.upload("", plays.body())).await;
            id.map(|task| (task.task.task_id, Expected::Sums(plays))).into_iter().collect()
        }
        40..60 => {
            let rows = random.random_range(0..5_000);
            let people = People::random(random, rows);
            let request = api
                .request(Method::POST, "/v1/data_uploads?file_name=people.csv")
                .header("content-type", "text/csv")
                .body(people.content.clone());
            let task = answered::<AcceptedTask>(request).await;
            // The file of a killed task resumes that one.
            let task = task.filter(|task| !task.resumed);
            task.map(|task| (task.task.task_id, Expected::Rows(people))).into_iter().collect()
        }
        60..80 => {
            let message = format!("message {}", random.random::<u32>());
            let request =
                api.request(Method::POST, "/v1/messages").json(&json!({ "message": message }));
            let task = answered::<TaskOnly>(request).await;
            task.map(|task| (task.task_id, Expected::Processed)).into_iter().collect()
        }
        _ => {
            let count = random.random_range(1..50);
            let path = format!("/v1/user_events/generate/{count}");
            let tasks = answered::<Generated>(api.request(Method::POST, &path)).await;
            let ids = tasks.map(|tasks| tasks.task_ids).unwrap_or_default();
            ids.into_iter().map(|id| (id, Expected::Processed)).collect()
        }
    }
}

#[derive(Deserialize)]
struct TaskOnly {
    task_id: TaskId,
}

#[derive(Deserialize)]
struct Generated {
    task_ids: Vec<TaskId>,
}

async fn answered<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> Option<T> {
    let response = request.timeout(PATIENCE).send().await.ok()?;
    let status = response.status();
    let text = response.text().await.ok()?;
    if status.is_server_error() {
        return None;
    }
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

async fn interrupt(api: &Api, id: TaskId, expected: &mut Expected, random: &mut StdRng) {
    let (verb, state) = match random.random_bool(0.5) {
        true => ("stop", TaskState::Stopped),
        false => ("kill", TaskState::Killed),
    };
    let path = format!("/v1/tasks/{id}/{verb}");
    let sent = api.request(Method::POST, &path).timeout(PATIENCE).send().await;
    // An unanswered interrupt may have taken effect.
    let is_refused = sent.as_ref().is_ok_and(|response| response.status() == StatusCode::CONFLICT);
    if !is_refused {
        let status = sent.map(|response| response.status());
        assert!(!status.as_ref().is_ok_and(|status| status.is_client_error()), "{status:?}");
        *expected = Expected::Interrupted(state);
    }
}

impl Accepted {
    /// Compares every result with the expected one; returns a summary.
    pub async fn check(&self, fleet: &Fleet) -> String {
        let states = stream::iter(&self.0)
            .map(|(id, expected)| expected.check(&fleet.api, *id))
            .buffer_unordered(CHECKS)
            .collect::<Vec<_>>()
            .await;
        let mut ends: BTreeMap<TaskState, usize> = BTreeMap::new();
        for state in states {
            *ends.entry(state).or_default() += 1;
        }
        let attempts = fleet.sql("SELECT COUNT(*), MAX(attempt), MAX(failures) FROM tasks");
        format!("{} accepted: {ends:?}; tasks, attempts, failures: {attempts}", self.0.len())
    }
}
