//! The broker and the database stop, die and recover under load; no accepted task is lost.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use super::api::eventually;
use super::fleet::Fleet;
use super::fleet::load::Load;
use super::fleet::services::Services;

/// Permits one separate set of services at a time: each takes memory and a core while it starts.
pub static SERVICES_LOCK: Mutex<()> = Mutex::const_new(());

#[expect(clippy::print_stdout, reason = "figures for whoever runs the tests")]
fn tell(fault: &str, took: Duration) {
    println!("{fault}: all tasks ended {:.1} s later", took.as_secs_f64());
}

fn delete_queues(fleet: &Fleet) {
    let queues = fleet.services.run(&["rabbitmqctl", "--quiet", "list_queues", "name"]);
    let queues: Vec<_> = queues.lines().filter(|line| line.starts_with("fleet-")).collect();
    assert!(!queues.is_empty());
    for queue in queues {
        fleet.services.run(&["rabbitmqctl", "--quiet", "delete_queue", queue.trim()]);
    }
}

async fn readiness(fleet: &Fleet) -> Value {
    fleet.api.get("/readyz").await.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_continue_while_the_broker_is_down() {
    let _turn = SERVICES_LOCK.lock().await;
    let mut fleet = Fleet::start(Services::own()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    fleet.services.run(&["stop-broker"]);
    eventually("/readyz names the broker", async || {
        let ready = readiness(&fleet).await;
        (ready["ready"] == true && ready["queue"] != "ok").then_some(())
    })
    .await;
    let load = Load::start(&fleet.api, 200).done().await;
    assert_eq!(fleet.sql("SELECT COUNT(*) FROM outbox"), "200", "they wait in the outbox");
    fleet.services.run(&["start-broker"]);
    let since = Instant::now();
    tell("the broker stopped during 200 uploads", load.is_done(&fleet, since).await);
    assert_eq!(readiness(&fleet).await["queue"], "ok");
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_killed_under_load() {
    let _turn = SERVICES_LOCK.lock().await;
    let mut fleet = Fleet::start(Services::own()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    // RabbitMQ 3.10 loses the log of such a new queue, which is then unresponsive.
    let uploading = Load::start(&fleet.api, 300);
    uploading.left(200).await;
    fleet.services.run(&["kill-broker"]);
    fleet.services.run(&["start-broker"]);
    let since = Instant::now();
    let load = uploading.done().await;
    tell("the broker killed and started again", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queues_are_deleted() {
    let _turn = SERVICES_LOCK.lock().await;
    let mut fleet = Fleet::start(Services::own()).await;
    let uploading = Load::start(&fleet.api, 300);
    uploading.left(200).await;
    delete_queues(&fleet);
    // The second time with a consumer.
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    uploading.left(100).await;
    delete_queues(&fleet);
    let since = Instant::now();
    let load = uploading.done().await;
    tell("the queues deleted", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_and_restarted() {
    let _turn = SERVICES_LOCK.lock().await;
    let mut fleet = Fleet::start(Services::own()).await;
    fleet.add_worker(2).await;
    fleet.add_worker(2).await;
    let uploading = Load::start(&fleet.api, 300);
    uploading.left(200).await;
    fleet.services.run(&["kill-database"]);
    fleet.services.run(&["start-database"]);
    uploading.left(100).await;
    fleet.services.run(&["stop-database"]);
    fleet.services.run(&["start-database"]);
    let since = Instant::now();
    let load = uploading.done().await;
    tell("the database killed and restarted", load.is_done(&fleet, since).await);
    fleet.ends_and_leaves_nothing().await;
}
