//! A backup by `scripts/backup.sh` under load is complete: restored elsewhere by
//! `scripts/restore.sh`, its tasks continue to correct results.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::task::{TaskId, TaskState};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::api::{Api, eventually};
use super::bucket;
use super::fleet::Fleet;
use super::fleet::load::Load;
use super::fleet::services::Services;
use super::long_task::start_long_task;
use super::people::People;
use super::plays::Plays;
use super::standalone::Standalone;

/// Enough that loading them takes a while.
const PEOPLE: u64 = 200_000;

/// Waits until a worker has loaded some of the rows.
async fn is_loading(api: &Api, id: TaskId) {
    eventually("rows are loaded", async || {
        let task = api.task(id).await;
        assert!(!task.state.is_ended(), "it ended before it was seen running: {task:?}");
        let loaded = task.result?["rows_loaded"].as_u64();
        loaded.filter(|rows| *rows > 0)
    })
    .await;
}

/// The number of tasks in this state.
fn count(fleet: &Fleet, state: TaskState) -> usize {
    let query = format!("SELECT COUNT(*) FROM tasks WHERE state = '{state}'");
    fleet.sql(&query).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_is_restored_from_a_backup_made_under_load() {
    let mut fleet = Fleet::start(Services::shared()).await;
    let worker = fleet.add_worker(2).await;
    let mut load = Load::start(&fleet.api, 20).done().await;
    load.is_processed(&fleet.api).await;
    let finished = load.len();
    let people = People::random(&mut StdRng::seed_from_u64(11), PEOPLE);
    let (aggregated, plays) = start_long_task(&fleet.api).await;
    load.add(aggregated, plays);
    let loaded = people.upload(&fleet.api).await.task.task_id;
    is_loading(&fleet.api, loaded).await;
    // Frozen, so that both of its slots stay busy during the backup.
    fleet.worker(worker).signal("STOP");
    let queued = Load::start(&fleet.api, 20).done().await;
    let uploading = Load::start(&fleet.api, 400);
    uploading.left(390).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let backup = backup.to_str().unwrap();
    fleet.run_script("backup.sh", &["fleet", backup]);
    let meanwhile = uploading.done().await;
    fleet.worker(worker).signal("CONT");

    let mut elsewhere = Fleet::prepare(Services::shared()).await;
    elsewhere.run_script("restore.sh", &["fleet", backup]);
    assert!(count(&elsewhere, TaskState::Processed) >= finished);
    assert!(count(&elsewhere, TaskState::Processing) >= 1, "the backup was made while tasks ran");
    assert!(count(&elsewhere, TaskState::Queued) >= queued.len());
    let rows: u64 = elsewhere.sql("SELECT COUNT(*) FROM file_data").parse().unwrap();
    assert!((1..PEOPLE).contains(&rows), "{rows} rows were loaded when the backup was made");

    load.extend(queued);
    let mut restored: HashSet<_> = load.ids().collect();
    restored.insert(loaded);
    elsewhere.open().await;
    // An upload that was in progress was not accepted, and cannot continue there.
    let mut tasks = elsewhere.api.tasks().await;
    tasks.retain(|task| task.state != TaskState::Initializing);
    let ids: HashSet<_> = tasks.iter().map(|task| task.task_id).collect();
    assert!(restored.is_subset(&ids), "everything accepted before the backup is in it");
    elsewhere.add_worker(2).await;
    let mut of_both = meanwhile;
    of_both.extend(load);
    fleet.add_worker(2).await;
    of_both.is_done(&fleet, Instant::now()).await;
    people.assert_loaded(&fleet.api, loaded).await;
    of_both.retain(&ids);
    of_both.is_done(&elsewhere, Instant::now()).await;
    people.assert_loaded(&elsewhere.api, loaded).await;
    elsewhere.ends_and_leaves_nothing().await;
    fleet.ends_and_leaves_nothing().await;
}

fn run(script: &str, arguments: &[&Path]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("scripts").join(script));
    let output = command.arg("standalone").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_standalone_server_is_restored_from_a_backup_made_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, elsewhere] =
        ["data", "backup", "elsewhere"].map(|name| folder.path().join(name));
    std::fs::create_dir(&data).unwrap();
    let server = Standalone::start(&data).await;
    let finished = Plays::random(&mut StdRng::seed_from_u64(12), 1_000, 1);
    let id = server.api.accept("", finished.body()).await;
    assert_eq!(server.api.result(id).await, finished.sums());
    let (long, plays) = start_long_task(&server.api).await;
    run("backup.sh", &[&data, &backup]);
    drop(server);

    run("restore.sh", &[&backup, &elsewhere]);
    let restored = Standalone::start(&elsewhere).await;
    assert_eq!(restored.api.result(id).await, finished.sums());
    assert_eq!(restored.api.result(long).await, plays.sums());
    restored.wait_for_files(bucket::wanted(&restored.api).await).await;
}
