//! Frozen task managers: their connections stay open without answers.

use std::time::{Duration, Instant};

use common::task::TaskKind;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::api::eventually;
use super::fleet::load::Load;
use super::fleet::services::Services;
use super::fleet::{Fleet, LONGER_THAN_A_LEASE};
use super::long_task::start_long_task;
use super::plays::Plays;

/// How soon all tasks end once the task manager answers again.
const RECOVERY: Duration = Duration::from_secs(60);
const WORKERS: usize = 3;
const SLOTS: u32 = 4;

fn processing(fleet: &Fleet) -> usize {
    fleet.sql("SELECT COUNT(*) FROM tasks WHERE state = 'processing'").parse().unwrap()
}

/// Asserts that each worker has its two connections to the broker and at most as many consumers as
/// slots, and has left no unacked message.
async fn nobody_reads_in_vain(fleet: &Fleet) {
    eventually("each worker has a connection for each lane", async || {
        (fleet.consumer_connections() == WORKERS * 2).then_some(())
    })
    .await;
    let consumers = fleet.consumers(TaskKind::CsvAggregation);
    let most = WORKERS * SLOTS as usize;
    assert!((WORKERS..=most).contains(&consumers), "{consumers} consumers of {WORKERS} workers");
    eventually("nothing is unacked", async || (fleet.unacked() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_manager_freezes_beyond_the_leases() {
    let mut fleet = Fleet::start(Services::shared()).await;
    // Long ones first: they keep all slots busy while the others wait.
    let mut load = Load::default();
    for seed in 0..12 {
        let plays = Plays::random(&mut StdRng::seed_from_u64(seed), 20_000, 200);
        load.add(fleet.api.accept("", plays.body()).await, plays);
    }
    load.extend(Load::start(&fleet.api, 188).done().await);
    for _ in 0..WORKERS {
        fleet.add_worker(SLOTS).await;
    }
    eventually("the workers are busy", async || (processing(&fleet) >= 6).then_some(())).await;
    fleet.signal_manager(0, "STOP");
    // A fixed time: the freeze itself is tested.
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    fleet.signal_manager(0, "CONT");
    let took = load.is_done(&fleet, Instant::now()).await;
    tell("the manager frozen with 200 tasks in progress", took);
    assert!(took < RECOVERY, "{took:?}");
    nobody_reads_in_vain(&fleet).await;
    fleet.ends_and_leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_managers_freezes_and_no_lease_is_lost() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let healthy = fleet.add_manager().await;
    for _ in 0..2 {
        fleet.add_worker_of_all(SLOTS).await;
    }
    let api = fleet.api_of_manager(healthy).await;
    let (id, plays) = start_long_task(&api).await;
    // The one that the workers have called so far.
    fleet.signal_manager(0, "STOP");
    let frozen = Instant::now();
    let mut load = Load::default();
    load.add(id, plays);
    while frozen.elapsed() < LONGER_THAN_A_LEASE {
        let (id, plays) = start_long_task(&api).await;
        load.add(id, plays);
        load.extend(Load::start(&api, 20).done().await);
    }
    for id in load.ids() {
        let task = api.wait_for_end(id).await;
        assert_eq!((task.attempt, task.failures), (1, 0), "{task:?}");
    }
    fleet.signal_manager(0, "CONT");
    load.is_done(&fleet, Instant::now()).await;
    fleet.ends_and_leaves_nothing().await;
    let attempts = "SELECT DISTINCT outcome FROM task_attempts";
    assert_eq!(fleet.sql(attempts), "completed", "no attempt was lost, not even afterwards");
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the tests")]
fn tell(fault: &str, took: Duration) {
    println!("{fault}: all tasks ended {:.1} s later", took.as_secs_f64());
}
