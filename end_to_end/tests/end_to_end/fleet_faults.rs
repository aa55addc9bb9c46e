//! Task managers and workers die, freeze and get disconnected under load; no accepted task is lost.

use std::time::{Duration, Instant};

use common::client::IDEMPOTENCY_KEY;
use common::problem::Problem;
use common::queue::Message;
use common::task::{TaskId, TaskKind, TaskState};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::api::{accepted, eventually, eventually_within};
use super::fleet::load::Load;
use super::fleet::relay::{Fate, Relay};
use super::fleet::services::Services;
use super::fleet::{Fleet, LONGER_THAN_A_LEASE};
use super::long_task::start_long_task;
use super::plays::Plays;

#[expect(clippy::print_stdout, reason = "figures for whoever runs the tests")]
fn tell(fault: &str, took: Duration) {
    println!("{fault}: all tasks ended {:.1} s later", took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_and_workers_share_the_work() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_manager().await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let since = Instant::now();
    let uploading = Load::start(&fleet.api, 300);
    let (id, plays) = start_long_task(&fleet.api).await;
    let mut load = uploading.done().await;
    load.add(id, plays);
    tell("no fault, 301 tasks", load.is_done(&fleet, since).await);
    let workers = fleet.sql("SELECT COUNT(DISTINCT worker) FROM task_attempts");
    assert_eq!(workers, "2", "both workers had some of it");
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_killed_during_a_task() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let (id, plays) = start_long_task(&fleet.api).await;
    let killed = fleet.worker_of(id).await;
    let uploading = Load::start(&fleet.api, 200);
    uploading.left(150).await;
    fleet.worker(killed).kill9();
    let since = Instant::now();
    let mut load = uploading.done().await;
    load.add(id, plays);
    tell("a worker killed", load.is_done(&fleet, since).await);
    assert_eq!(fleet.api.task(id).await.failures, 1);
    assert_eq!(fleet.outcomes(id), ["lease_lost", "completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_manager_is_killed() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let uploading = Load::start(&fleet.api, 300);
    uploading.left(200).await;
    fleet.kill_manager(0);
    fleet.add_manager().await;
    let since = Instant::now();
    let load = uploading.done().await;
    tell("the manager killed and started again", load.is_done(&fleet, since).await);
    assert_eq!(load.len(), 300);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_managers_are_killed_alternately() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let second = fleet.add_manager().await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let uploading = Load::start(&fleet.api, 300);
    uploading.left(250).await;
    fleet.kill_manager(0);
    uploading.left(120).await;
    fleet.add_manager().await;
    fleet.kill_manager(second);
    let since = Instant::now();
    let load = uploading.done().await;
    tell("both managers killed in turn", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_worker_is_replaced_and_its_late_report_refused() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let relay = Relay::start(vec![fleet.front.address]).await;
    let cut_off = fleet.add_worker_by(1, relay.address).await;
    let (id, plays) = start_long_task(&fleet.api).await;
    assert_eq!(fleet.worker_of(id).await, cut_off);
    relay.cut();
    let other = fleet.add_worker(2).await;
    let mut load = Load::start(&fleet.api, 200).done().await;
    // It completes its work long before its lease expires, but cannot report it.
    let late = format!("processed_data/{id}/1.csv");
    eventually("the disconnected worker has completed its work", async || {
        fleet.files().contains(&late).then_some(())
    })
    .await;
    assert_eq!(fleet.api.download(id).await.status(), StatusCode::CONFLICT);
    load.add(id, plays);
    eventually("another worker has the task", async || {
        (fleet.api.task(id).await.attempt == 2).then_some(())
    })
    .await;
    assert_eq!(fleet.worker_of(id).await, other);
    relay.heal();
    let since = Instant::now();
    eventually("its late report is refused", async || {
        let refused =
            |line: &str| line.contains("the final report came too late").then(String::new);
        fleet.worker(cut_off).find(refused)
    })
    .await;
    tell("a worker cut off for longer than its lease", load.is_done(&fleet, since).await);
    assert_eq!(fleet.api.task(id).await.failures, 1);
    assert_eq!(fleet.outcomes(id), ["lease_lost", "completed"]);
    // Reconnected, it takes tasks again.
    fleet.worker(other).kill9();
    Load::start(&fleet.api, 20).done().await.is_done(&fleet, since).await;
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_suspended_beyond_its_lease_does_no_harm() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let stopped = fleet.add_worker(1).await;
    let (id, plays) = start_long_task(&fleet.api).await;
    assert_eq!(fleet.worker_of(id).await, stopped);
    fleet.worker(stopped).signal("STOP");
    fleet.add_worker(2).await;
    let mut load = Load::start(&fleet.api, 200).done().await;
    load.add(id, plays);
    eventually("another worker has the task", async || {
        (fleet.api.task(id).await.attempt == 2).then_some(())
    })
    .await;
    fleet.worker(stopped).signal("CONT");
    let took = load.is_done(&fleet, Instant::now()).await;
    tell("a worker stopped for longer than its lease", took);
    assert_eq!(fleet.api.task(id).await.failures, 1);
    assert_eq!(fleet.outcomes(id), ["lease_lost", "completed"]);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_worker_returns_its_task() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let first = fleet.add_worker(1).await;
    let (id, plays) = start_long_task(&fleet.api).await;
    assert_eq!(fleet.worker_of(id).await, first);
    fleet.add_worker(2).await;
    let uploading = Load::start(&fleet.api, 200);
    fleet.worker(first).terminate();
    let since = Instant::now();
    assert!(fleet.worker(first).exit(Duration::from_secs(10)).await.success());
    let mut load = uploading.done().await;
    load.add(id, plays);
    tell("a worker drained", load.is_done(&fleet, since).await);
    assert_eq!(fleet.api.task(id).await.failures, 0);
    assert_eq!(fleet.outcomes(id), ["released", "completed"]);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_broker_delays_no_drain() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let worker = fleet.add_worker(1).await;
    let plays = Plays::random(&mut StdRng::seed_from_u64(9), 20_000, 2_000);
    let id = fleet.api.accept("", plays.body()).await;
    assert_eq!(fleet.worker_of(id).await, worker);
    fleet.to_broker.stall();
    let stalled = Instant::now();
    eventually("the worker is busy for so long that it wants to pause", async || {
        (stalled.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
    fleet.worker(worker).terminate();
    eventually_within(Duration::from_secs(3), "the task is released", async || {
        (fleet.outcomes(id) == ["released"]).then_some(())
    })
    .await;
    assert!(fleet.worker(worker).exit(Duration::from_secs(15)).await.success());
    fleet.to_broker.heal();
    fleet.api.interrupt(id, "stop").await;
    fleet.api.wait_for_state(id, TaskState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_delivered_three_times_change_nothing() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let load = Load::start(&fleet.api, 200).done().await;
    let publisher = fleet.queue().publisher();
    let messages: Vec<_> = fleet
        .api
        .tasks()
        .await
        .into_iter()
        .map(|task| (TaskKind::CsvAggregation, Message { task_id: task.task_id, dispatch: 1 }))
        .collect();
    for _ in 0..2 {
        for confirm in publisher.publish(&messages).await {
            confirm.unwrap();
        }
    }
    let since = Instant::now();
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    tell("every message three times", load.is_done(&fleet, since).await);
    for task in fleet.api.tasks().await {
        assert_eq!((task.attempt, task.failures), (1, 0), "{}", task.task_id);
    }
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_worker_with_one_slot_blocks_no_other_task() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    fleet.add_worker(1).await;
    let plays = Plays::random(&mut StdRng::seed_from_u64(3), 20_000, 1_000);
    let id = fleet.api.accept("", plays.body()).await;
    fleet.worker_of(id).await;
    let small = Load::start(&fleet.api, 50).done().await;
    eventually("all others are processed", async || {
        let others = "SELECT COUNT(*) FROM tasks WHERE state = 'processed'";
        (fleet.sql(others) == small.len().to_string()).then_some(())
    })
    .await;
    assert_eq!(fleet.api.task(id).await.state, TaskState::Processing, "the long one still runs");
    fleet.api.interrupt(id, "stop").await;
    fleet.api.wait_for_state(id, TaskState::Stopped).await;
    small.results_are_right(&fleet.api).await;
    fleet.is_at_rest().await;
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_and_stalling_network_only_causes_delays() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(2).await;
    fleet.to_broker.delay(Duration::from_millis(20));
    fleet.to_database.delay(Duration::from_millis(2));
    let uploading = Load::start(&fleet.api, 100);
    uploading.left(50).await;
    fleet.front.stall();
    // A fixed time: the stall itself is tested.
    tokio::time::sleep(LONGER_THAN_A_LEASE / 10).await;
    fleet.front.heal();
    fleet.to_broker.heal();
    fleet.to_database.heal();
    let since = Instant::now();
    let load = uploading.done().await;
    tell("a slow and stalling network", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_break_repeatedly() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_manager().await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let uploading = Load::start(&fleet.api, 300);
    for left in (25..275).rev().step_by(25) {
        uploading.left(left).await;
        fleet.to_database.cut_once();
        fleet.to_broker.cut_once();
        fleet.front.cut_once();
    }
    let since = Instant::now();
    let load = uploading.done().await;
    tell("all connections cut ten times", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}

/// The packet of MySQL's protocol that executes a prepared statement without parameters, of ten
/// bytes: after the last change of a transaction it is the commit.
const EXECUTE_WITHOUT_PARAMETERS: [u8; 5] = [10, 0, 0, 0, 0x17];

fn upload_with_key(fleet: &Fleet, plays: &Plays) -> RequestBuilder {
    fleet.api.upload("", plays.body()).header(IDEMPOTENCY_KEY, "in-doubt")
}

/// Uploads a file while the commit of its last step has this fate.
async fn upload_in_doubt(fleet: &Fleet, plays: &Plays, fate: Fate) {
    fleet.to_database.leave_in_doubt(&plays.sha256(), &EXECUTE_WITHOUT_PARAMETERS, fate);
    let answer = upload_with_key(fleet, plays).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.code, "outcome_unknown");
    assert!(problem.detail.contains("with the same Idempotency-Key"), "{}", problem.detail);
    assert!(!problem.detail.contains("nothing was changed"), "{}", problem.detail);
    assert!(fleet.to_database.left_in_doubt());
}

/// Does what the answer advises: repeats the upload with its key.
async fn repeat(fleet: &Fleet, plays: &Plays) -> TaskId {
    accepted(upload_with_key(fleet, plays).send().await.unwrap()).await.task.task_id
}

#[tokio::test]
async fn a_commit_in_doubt_keeps_the_uploaded_file_if_it_succeeded() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let plays = Plays::random(&mut StdRng::seed_from_u64(4), 50, 5);
    upload_in_doubt(&fleet, &plays, Fate::Done).await;
    let [task] = <[_; 1]>::try_from(fleet.api.tasks().await).unwrap();
    assert_eq!(repeat(&fleet, &plays).await, task.task_id, "it takes effect once");
    fleet.add_worker(1).await;
    fleet.api.wait_for_state(task.task_id, TaskState::Processed).await;
    assert_eq!(fleet.api.result(task.task_id).await, plays.sums());
    fleet.has_only_wanted_files().await;
}

#[tokio::test]
async fn a_lost_commit_leaves_nothing_of_the_upload() {
    let fleet = Fleet::start(Services::shared()).await;
    let plays = Plays::random(&mut StdRng::seed_from_u64(5), 50, 5);
    upload_in_doubt(&fleet, &plays, Fate::Lost).await;
    assert!(fleet.api.tasks().await.is_empty());
    assert!(fleet.files().is_empty());
    let id = repeat(&fleet, &plays).await;
    let [task] = <[_; 1]>::try_from(fleet.api.tasks().await).unwrap();
    assert_eq!(task.task_id, id);
}

#[tokio::test]
async fn a_bulk_load_in_doubt_says_how_much_may_be_stored() {
    let fleet = Fleet::start(Services::shared()).await;
    let documents: Vec<Value> =
        (0..2_500).map(|number| json!({"message": format!("parcel {number}.")})).collect();
    // In the second of three chunks.
    fleet.to_database.leave_in_doubt("parcel 1500.", &EXECUTE_WITHOUT_PARAMETERS, Fate::Done);
    let load = fleet.api.request(Method::POST, "/v1/messages/bulk").json(&documents);
    let answer = load.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(fleet.to_database.left_in_doubt());
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.code, "partly_stored");
    for words in ["first 1000 valid documents are stored", "next 1000 may be stored"] {
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM messages"), "2000");
}
