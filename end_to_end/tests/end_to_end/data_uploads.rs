//! Loads under interrupts and crashes: every row is in the database once and in order, and none is
//! after a stop.

use common::task::{TaskId, TaskState, TaskView};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;

use super::api::{Api, eventually};
use super::fleet::Fleet;
use super::fleet::relay::Relay;
use super::fleet::services::Services;
use super::people::{People, rows};
use super::standalone::Standalone;

const ROWS: u64 = 100_000;
/// The number of points at which loads are interrupted.
const POINTS: usize = 20;
/// Another seed results in other files and other points.
const SEED: u64 = 27;

/// How many rows a task has read so far.
fn rows_read(task: &TaskView) -> u64 {
    let Some(result) = &task.result else { return 0 };
    result["rows_loaded"].as_u64().unwrap() + result["rows_rejected"].as_u64().unwrap()
}

/// Waits until a worker is running the task and has read so many rows. False if the task ended
/// before that, or was not observed in time.
async fn reaches(api: &Api, id: TaskId, row: u64) -> bool {
    let task = eventually("the load exists", async || {
        Some(api.task(id).await).filter(|task| {
            task.state == TaskState::Processing && rows_read(task) >= row || task.state.is_ended()
        })
    })
    .await;
    task.state == TaskState::Processing
}

/// Random points of a file, in order.
fn points(random: &mut StdRng, people: &People) -> Vec<u64> {
    let mut points: Vec<_> = (0..5).map(|_| random.random_range(0..people.count())).collect();
    points.sort_unstable();
    points
}

/// Resumes a task unless it is queued already.
async fn resume(api: &Api, id: TaskId) {
    let response = api.interrupt(id, "resume").await;
    assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
}

/// Waits for the end of a task; resumes it if it has failed too often.
async fn processed(api: &Api, id: TaskId) -> TaskView {
    eventually("the load is done", async || {
        let task = api.task(id).await;
        if task.state == TaskState::Failed {
            assert_eq!(task.error.as_ref().unwrap().code, "worker_lost", "{:?}", task.error);
            resume(api, id).await;
        }
        (task.state == TaskState::Processed).then_some(task)
    })
    .await
}

/// Kills loads by the API and resumes them, at a total of 20 points.
async fn kill_and_resume(api: &Api) {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut hits = 0;
    while hits < POINTS {
        let people = People::random(&mut random, ROWS);
        let id = people.upload(api).await.task.task_id;
        let mut was_hit = false;
        for point in points(&mut random, &people) {
            if !reaches(api, id, point).await {
                break;
            }
            let killed = api.interrupt(id, "kill").await;
            if killed.status() == StatusCode::CONFLICT {
                // It ended just then.
                break;
            }
            let killed: TaskView = killed.json().await.unwrap();
            assert_eq!(killed.state, TaskState::Killed);
            hits += 1;
            was_hit = true;
            // Uploading the file again does the same as a resume, and returns the row.
            if hits % 2 == 0 {
                resume(api, id).await;
            } else {
                let again = people.upload(api).await;
                assert_eq!((again.task.task_id, again.resumed), (id, true));
                let read = rows_read(&killed);
                assert_eq!(again.resumed_from_row, (read > 0).then_some(read + 1));
            }
        }
        let task = processed(api, id).await;
        assert_eq!(task.failures, 0, "{:?}", task.error);
        if was_hit && task.attempt > 1 {
            assert!(task.result.as_ref().unwrap().get("resumed_from_row").is_some());
        }
        people.assert_loaded(api, id).await;
    }
}

/// Stops loads, at a total of 20 points.
async fn stop(api: &Api) {
    let mut random = StdRng::seed_from_u64(SEED);
    let people = People::random(&mut random, ROWS);
    let mut hits = 0;
    while hits < POINTS {
        let accepted = people.upload(api).await;
        assert!(!accepted.resumed, "a stopped task is not resumed");
        let id = accepted.task.task_id;
        if !reaches(api, id, random.random_range(0..people.count())).await {
            continue;
        }
        let stopped = api.interrupt(id, "stop").await;
        if stopped.status() == StatusCode::CONFLICT {
            continue;
        }
        hits += 1;
        assert_eq!(rows(api, id).await, [], "a stop hides the rows immediately");
        api.wait_for_state(id, TaskState::Stopped).await;
        assert_eq!(rows(api, id).await, []);
    }
}

#[tokio::test]
async fn a_load_is_killed_and_resumed_anywhere_standalone() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    kill_and_resume(&server.api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_killed_and_resumed_anywhere_in_a_fleet() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    fleet.add_worker(1).await;
    kill_and_resume(&fleet.api).await;
}

#[tokio::test]
async fn a_load_is_stopped_anywhere_standalone() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    stop(&server.api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_stopped_anywhere_in_a_fleet() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    stop(&fleet.api).await;
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM file_data"), rows_of_processed(&fleet).await);
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM rejected_rows WHERE task_id NOT IN (SELECT id FROM tasks WHERE state = 'processed')"), "0");
}

/// The number of rows of tasks that ended before they could be stopped.
async fn rows_of_processed(fleet: &Fleet) -> String {
    let mut count = 0;
    for task in fleet.api.tasks().await {
        if task.state == TaskState::Processed {
            count += task.result.unwrap()["rows_loaded"].as_u64().unwrap();
        }
    }
    count.to_string()
}

#[tokio::test]
async fn a_load_survives_kills_of_the_process() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut hits = 0;
    while hits < POINTS {
        let people = People::random(&mut random, ROWS);
        let id = people.upload(&server.api).await.task.task_id;
        for point in points(&mut random, &people) {
            if !reaches(&server.api, id, point).await {
                break;
            }
            server.crash().await;
            hits += 1;
        }
        processed(&server.api, id).await;
        people.assert_loaded(&server.api, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_survives_kills_of_workers() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let mut worker = fleet.add_worker(1).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut hits = 0;
    while hits < POINTS {
        let people = People::random(&mut random, ROWS);
        let id = people.upload(&fleet.api).await.task.task_id;
        for point in points(&mut random, &people) {
            if !reaches(&fleet.api, id, point).await {
                break;
            }
            fleet.worker(worker).kill9();
            hits += 1;
            worker = fleet.add_worker(1).await;
            // Instead of waiting for the lease to expire.
            match fleet.api.interrupt(id, "kill").await.status() {
                StatusCode::OK => resume(&fleet.api, id).await,
                status => assert_eq!(status, StatusCode::CONFLICT, "it ended just then"),
            }
        }
        processed(&fleet.api, id).await;
        people.assert_loaded(&fleet.api, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_survives_kills_of_task_managers() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    let mut manager = 0;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut hits = 0;
    while hits < POINTS {
        let people = People::random(&mut random, ROWS);
        let id = people.upload(&fleet.api).await.task.task_id;
        for point in points(&mut random, &people) {
            if !reaches(&fleet.api, id, point).await {
                break;
            }
            fleet.kill_manager(manager);
            hits += 1;
            manager = fleet.add_manager().await;
        }
        let task = processed(&fleet.api, id).await;
        assert_eq!((task.attempt, task.failures), (1, 0), "the attempt outlives the task manager");
        people.assert_loaded(&fleet.api, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_with_the_same_task_load_each_row_once() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let relay = Relay::start(vec![fleet.front.address]).await;
    let cut_off = fleet.add_worker_by(1, relay.address).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let people = People::random(&mut random, ROWS);
    let id = people.upload(&fleet.api).await.task.task_id;
    assert_eq!(fleet.worker_of(id).await, cut_off);
    assert!(reaches(&fleet.api, id, 1).await, "it has not ended yet");
    // The first one continues to send the rows it has read, and the second one starts at the
    // checkpoint.
    relay.cut();
    assert_eq!(fleet.api.interrupt(id, "kill").await.status(), StatusCode::OK);
    resume(&fleet.api, id).await;
    let other = fleet.add_worker(1).await;
    assert_eq!(fleet.worker_of(id).await, other);
    relay.heal();
    assert!(reaches(&fleet.api, id, 1).await, "both have been running for a while");
    processed(&fleet.api, id).await;
    people.assert_loaded(&fleet.api, id).await;
}
