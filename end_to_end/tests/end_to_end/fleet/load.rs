//! A load of tasks with their correct results.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::task::{TaskId, TaskState};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::Fleet;
use crate::end_to_end::api::{Api, eventually, eventually_within};
use crate::end_to_end::plays::Plays;

/// The number of concurrent clients.
const CLIENTS: usize = 8;
/// Longer than any recovery: lost messages are redispatched after a minute.
const DEADLINE: Duration = Duration::from_secs(180);

/// How long a client waits before it retries a file.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepted tasks.
#[derive(Debug, Default)]
pub struct Load {
    accepted: Vec<(TaskId, Plays)>,
    slowest: Duration,
    refused: usize,
}

impl Load {
    /// Starts to upload `count` files, mostly small ones; each is retried until it is accepted.
    pub fn start(api: &Api, count: usize) -> Uploading {
        let mut random = StdRng::seed_from_u64(7);
        let files = (0..count).map(|number| {
            let rows = if number % 25 == 0 { 5_000 } else { random.random_range(0..50) };
            Plays::random(&mut random, rows, 1)
        });
        let files = Arc::new(Mutex::new(files.collect::<Vec<_>>()));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (api, files) = (api.clone(), Arc::clone(&files));
            clients.spawn(async move {
                let mut load = Load::default();
                loop {
                    let Some(plays) = files.lock().unwrap().pop() else { return load };
                    let started = Instant::now();
                    let id = upload(&api, &plays, &mut load.refused).await;
                    load.slowest = load.slowest.max(started.elapsed());
                    load.add(id, plays);
                }
            });
        }
        Uploading { files, clients }
    }

    /// Adds a task that was accepted separately.
    pub fn add(&mut self, id: TaskId, plays: Plays) {
        self.accepted.push((id, plays));
    }

    pub fn ids(&self) -> impl Iterator<Item = TaskId> {
        self.accepted.iter().map(|(id, _)| *id)
    }

    pub fn len(&self) -> usize {
        self.accepted.len()
    }

    /// Adds the tasks of another load.
    pub fn extend(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.slowest = self.slowest.max(other.slowest);
        self.refused += other.refused;
    }

    /// Keeps only these tasks.
    pub fn retain(&mut self, ids: &HashSet<TaskId>) {
        self.accepted.retain(|(id, _)| ids.contains(id));
    }

    /// The longest time until a file was accepted, including retries.
    pub fn slowest(&self) -> Duration {
        self.slowest
    }

    /// How many times a server refused a file temporarily.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Waits until every task is processed, with retries if the server is down.
    pub async fn is_processed(&self, api: &Api) {
        let mut open: Vec<TaskId> = self.accepted.iter().map(|(id, _)| *id).collect();
        eventually_within(DEADLINE, "all tasks are processed", async || {
            let mut still = Vec::new();
            for id in open.drain(..) {
                match state(api, id).await {
                    Some(TaskState::Processed) => {}
                    Some(TaskState::Failed) => panic!("{:?}", api.task(id).await.error),
                    _ => still.push(id),
                }
            }
            open = still;
            open.is_empty().then_some(())
        })
        .await;
    }

    /// Compares every result with the one computed here.
    pub async fn results_are_right(&self, api: &Api) {
        for (id, plays) in &self.accepted {
            assert_eq!(api.result(*id).await, plays.sums(), "{id}");
        }
    }

    /// Waits until every task is processed, once and correctly, and the fleet is at rest; returns
    /// how long after `since` the last one ended.
    pub async fn is_done(&self, fleet: &Fleet, since: Instant) -> Duration {
        self.is_processed(&fleet.api).await;
        let took = since.elapsed();
        self.results_are_right(&fleet.api).await;
        // Some more were accepted although their answers were lost: they end like all others.
        eventually("every task is processed", async || {
            let failed = "SELECT HEX(id) FROM tasks WHERE state = 'failed'";
            assert_eq!(fleet.sql(failed), "", "no task fails");
            let others = "SELECT COUNT(*) FROM tasks WHERE state <> 'processed'";
            (fleet.sql(others) == "0").then_some(())
        })
        .await;
        let not_once = "SELECT COUNT(*) FROM tasks WHERE 1 <> (SELECT COUNT(*) FROM task_attempts \
                        WHERE task_id = tasks.id AND outcome = 'completed')";
        assert_eq!(fleet.sql(not_once), "0", "every task is completed once");
        fleet.is_at_rest().await;
        fleet.has_only_wanted_files().await;
        took
    }
}

/// A load that is being uploaded.
pub struct Uploading {
    files: Arc<Mutex<Vec<Plays>>>,
    clients: JoinSet<Load>,
}

impl Uploading {
    /// Waits until at most `count` files remain to be sent.
    pub async fn left(&self, count: usize) {
        eventually_within(DEADLINE, "files are uploaded", async || {
            (self.files.lock().unwrap().len() <= count).then_some(())
        })
        .await;
    }

    /// Waits until all are accepted.
    pub async fn done(self) -> Load {
        let mut load = Load::default();
        for part in self.clients.join_all().await {
            load.extend(part);
        }
        load
    }
}

/// Sends a file until it is accepted, with retries if the server dies or refuses temporarily.
async fn upload(api: &Api, plays: &Plays, refused: &mut usize) -> TaskId {
    let started = Instant::now();
    loop {
        if let Some(id) = try_upload(api, plays, refused).await {
            return id;
        }
        assert!(started.elapsed() < DEADLINE, "a file is not accepted for {DEADLINE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn try_upload(api: &Api, plays: &Plays, refused: &mut usize) -> Option<TaskId> {
    let response = api.upload("", plays.body()).send().await.ok()?;
    let status = response.status();
    let body = response.bytes().await.ok()?;
    if status.is_server_error() {
        *refused += 1;
        return None;
    }
    assert_eq!(status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&body));
    let task: common::task::AcceptedTask = serde_json::from_slice(&body).unwrap();
    Some(task.task.task_id)
}

async fn state(api: &Api, id: TaskId) -> Option<TaskState> {
    let request = api.request(reqwest::Method::GET, &format!("/v1/tasks/{id}"));
    let response = request.send().await.ok()?;
    if response.status() != StatusCode::OK {
        assert!(response.status().is_server_error(), "{}", response.status());
        return None;
    }
    Some(response.json::<common::task::TaskView>().await.ok()?.state)
}
