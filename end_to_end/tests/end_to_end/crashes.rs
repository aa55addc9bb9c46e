//! No accepted task is lost when all processes die repeatedly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::task::{TaskId, TaskState};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::{Api, eventually};
use super::bucket;
use super::plays::Plays;
use super::standalone::Standalone;

const CLIENTS: u64 = 4;
const CRASHES: u32 = 8;
/// Another seed results in other files and other moments.
const SEED: u64 = 20_200_101;

type Accepted = Arc<Mutex<Vec<(TaskId, Plays)>>>;

#[tokio::test]
async fn no_accepted_task_is_lost_when_the_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let accepted = Accepted::default();
    let (current, apis) = watch::channel(Some(server.api.clone()));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let random = StdRng::seed_from_u64(SEED + number);
        clients.spawn(upload_files(apis.clone(), random, Arc::clone(&accepted)));
    }

    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..CRASHES {
        // A random time instead of a condition.
        let moment = Duration::from_millis(random.random_range(100..3_000));
        tokio::time::sleep(moment).await;
        server.crash().await;
        current.send(Some(server.api.clone())).unwrap();
    }
    current.send(None).unwrap();
    clients.join_all().await;

    let accepted = std::mem::take(&mut *accepted.lock().unwrap());
    assert!(accepted.len() > 2 * CRASHES as usize, "{} accepted", accepted.len());
    for (id, plays) in &accepted {
        processed(&server.api, *id).await;
        assert_eq!(server.api.result(*id).await, plays.sums(), "{id}");
    }

    // Some were accepted although their answers were lost: they are tasks like all others.
    let mut was_hit = false;
    for task in server.api.tasks().await {
        let id = task.task_id;
        processed(&server.api, id).await;
        was_hit |= server.api.task(id).await.attempt > 1;
    }
    let files = bucket::wanted(&server.api).await;
    assert!(files.len() >= 2 * accepted.len());
    assert!(was_hit, "no crash hit a running task: the files are too small for this machine");
    server.wait_for_files(files).await;
}

/// Uploads one file after the other to the current server, until there is none.
async fn upload_files(
    mut apis: watch::Receiver<Option<Api>>,
    mut random: StdRng,
    accepted: Accepted,
) {
    loop {
        let Some(api) = apis.borrow_and_update().clone() else { return };
        let (rows, times) = match random.random_range(0..20) {
            0 => (20_000, 20),
            1..=4 => (random.random_range(1_000..20_000), 1),
            _ => (random.random_range(0..100), 1),
        };
        let plays = Plays::random(&mut random, rows, times);
        if let Some(id) = upload(&api, &plays).await {
            accepted.lock().unwrap().push((id, plays));
            let pause = Duration::from_millis(random.random_range(0..300));
            tokio::time::sleep(pause).await;
        } else {
            // The server is dead; waits for the next one.
            let _ = apis.changed().await;
        }
    }
}

/// The task's id, if the server returned it before it died.
async fn upload(api: &Api, plays: &Plays) -> Option<TaskId> {
    let response = api.upload("", plays.body()).send().await.ok()?;
    let status = response.status();
    let body = response.bytes().await.ok()?;
    assert_eq!(status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&body));
    let task: common::task::AcceptedTask = serde_json::from_slice(&body).unwrap();
    assert!(!task.resumed, "every file is different");
    Some(task.task.task_id)
}

/// Waits until the task is processed. One that was running during five crashes has failed and is
/// resumed, as its error advises.
pub async fn processed(api: &Api, id: TaskId) {
    eventually(&format!("{id} is processed"), async || {
        let task = api.task(id).await;
        if task.state == TaskState::Failed {
            assert_eq!(task.failures, task.max_attempts, "{:?}", task.error);
            assert_eq!(task.error.unwrap().code, "worker_lost");
            assert_eq!(api.interrupt(id, "resume").await.status(), StatusCode::OK);
        }
        (task.state == TaskState::Processed).then_some(())
    })
    .await;
}
