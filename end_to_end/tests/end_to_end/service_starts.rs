//! Programs that start before their dependencies, and health checks that report it.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use super::api::eventually;
use super::fleet::Fleet;
use super::fleet::services::Services;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::process::{Process, program};

/// The health check of a program with its own settings.
async fn health(name: &str, listen: SocketAddr) -> Output {
    let mut command = program(name);
    let prefix = name.to_ascii_uppercase();
    command.arg("health").env(format!("{prefix}_LISTEN"), listen.to_string());
    if name == "data_processor" {
        let unused = [("QUEUE_URL", "amqp://nobody@127.0.0.1"), ("SERVICE_TOKEN", "none")];
        command.envs(unused.map(|(setting, value)| (format!("{prefix}_{setting}"), value)));
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Waits until the health check fails and names the problem.
async fn complains(name: &str, listen: SocketAddr, about: &str) {
    eventually(&format!("{name} complains about {about}"), async || {
        let output = health(name, listen).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code() == Some(1) && said.contains(about)).then_some(())
    })
    .await;
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_task_manager_waits_for_its_database() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.to_database.cut();
    let process = Process::spawn(&mut fleet.manager_command());
    eventually("it says that it waits", async || {
        process.find(|line| line.contains("cannot use the database, will retry").then(String::new))
    })
    .await;
    fleet.to_database.heal();
    fleet.join_manager(process).await;
    // The first task manager is killed, so the one that waited serves.
    fleet.kill_manager(0);
    fleet.add_worker(1).await;
    let id = fleet.api.accept("", SAMPLE).await;
    assert_eq!(fleet.api.result(id).await, SAMPLE_SUMS);
}

#[tokio::test]
async fn a_task_manager_that_waits_for_its_database_can_be_terminated() {
    let fleet = Fleet::start(Services::shared()).await;
    fleet.to_database.cut();
    let mut process = Process::spawn(&mut fleet.manager_command());
    eventually("it says that it waits", async || {
        process.find(|line| line.contains("cannot use the database, will retry").then(String::new))
    })
    .await;
    process.terminate();
    let status = process.exit(Duration::from_secs(30)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn health_checks_say_whether_a_program_is_ready() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let manager = fleet.front.address;
    let mut worker = Process::spawn(&mut fleet.worker_command(1, &format!("http://{manager}")));
    let worker_address = address(&worker.url().await);

    let ready = health("task_manager", manager).await;
    assert!(ready.status.success(), "{ready:?}");
    let ready = health("data_processor", worker_address).await;
    assert!(ready.status.success(), "{ready:?}");

    fleet.to_database.cut();
    complains("task_manager", manager, "\"database\":\"the database is not available").await;
    fleet.kill_manager(0);
    complains("data_processor", worker_address, "task_manager").await;
    worker.kill9();
    complains("data_processor", worker_address, "cannot be reached").await;
}
