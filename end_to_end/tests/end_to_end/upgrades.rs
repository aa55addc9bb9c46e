//! A rolling upgrade under load, as docs/operations.md describes: task managers first, then
//! workers, one after the other, so that two builds run together.
//!
//! `UPGRADE_FROM=FOLDER` names the programs of an earlier version (`make test-upgrade`). Without
//! it, the current ones are replaced by themselves, which tests only the procedure.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::fleet::Fleet;
use super::fleet::load::Load;
use super::fleet::services::Services;
use super::long_task::start_long_task;
use super::people::People;

/// The number of programs of each type.
const COUNT: usize = 2;
/// The longest time for accepting a file, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "chosen by whoever runs the test")]
fn earlier_programs() -> Option<PathBuf> {
    std::env::var("UPGRADE_FROM").ok().map(PathBuf::from)
}

/// Starts a task manager of the new build, then shuts one of the old down while files are uploaded.
async fn replace_manager(fleet: &mut Fleet, old: usize) -> Load {
    fleet.add_manager().await;
    let uploading = Load::start(&fleet.api, 100);
    uploading.left(60).await;
    fleet.end_manager(old).await;
    uploading.done().await
}

/// The same with a worker.
async fn replace_worker(fleet: &mut Fleet, old: usize) -> Load {
    let uploading = Load::start(&fleet.api, 100);
    fleet.add_worker(2).await;
    fleet.end_worker(old).await;
    uploading.done().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_is_upgraded_under_load() {
    let mut fleet = Fleet::prepare(Services::shared()).await;
    let new = fleet.programs.clone();
    fleet.programs = earlier_programs().unwrap_or(new.clone());
    fleet.open().await;
    for _ in 1..COUNT {
        fleet.add_manager().await;
    }
    for _ in 0..COUNT {
        fleet.add_worker(2).await;
    }
    // All of the old build.
    let mut load = Load::start(&fleet.api, 50).done().await;
    let (long, plays) = start_long_task(&fleet.api).await;
    load.add(long, plays);
    let people = People::random(&mut StdRng::seed_from_u64(13), 100_000);
    let loaded = people.upload(&fleet.api).await.task.task_id;

    fleet.programs = new;
    for old in 0..COUNT {
        load.extend(replace_manager(&mut fleet, old).await);
    }
    for old in 0..COUNT {
        load.extend(replace_worker(&mut fleet, old).await);
    }
    let took = load.is_done(&fleet, Instant::now()).await;
    tell(&load, took);
    people.assert_loaded(&fleet.api, loaded).await;
    assert_eq!(load.refused(), 0, "no file is refused");
    assert!(load.slowest() < LONGEST, "a file was accepted only after {:?}", load.slowest());
    let failures = fleet.sql("SELECT COALESCE(SUM(failures), 0) FROM tasks");
    assert_eq!(failures, "0", "releases and restarts are not failures");
    fleet.ends_and_leaves_nothing().await;
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the tests")]
fn tell(load: &Load, took: Duration) {
    let [slowest, took] = [load.slowest(), took].map(|time| time.as_secs_f64());
    println!("upgraded: slowest upload {slowest:.1} s, all done {took:.1} s later");
}
