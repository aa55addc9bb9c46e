//! The default data folder of a server.

use std::path::Path;
use std::time::Duration;

use super::api::Api;
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::process::{Process, taskctl};

const DEADLINE: Duration = Duration::from_secs(60);

/// A server started in the folder `current`, as in a checkout.
async fn start(current: &Path, more: &[&str]) -> (Process, Api) {
    let mut command = taskctl();
    command.args(["standalone", "--listen", "127.0.0.1:0"]).args(more).current_dir(current);
    command.env("TASK_MANAGER_RUN_SCHEDULES", "false");
    let mut process = Process::spawn(&mut command);
    let url = process.url().await;
    (process, Api::new(url))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn everything_is_in_one_folder() {
    let current = tempfile::tempdir().unwrap();
    let (mut process, api) = start(current.path(), &[]).await;
    let id = api.accept("", SAMPLE).await;
    assert_eq!(api.result(id).await, SAMPLE_SUMS);
    process.terminate();
    assert!(process.exit(DEADLINE).await.success());
    assert_eq!(names(current.path()), ["task-data"]);
    for name in ["jwt.key", "local_storage", "tasks.sqlite"] {
        assert!(current.path().join("task-data").join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn data_of_an_earlier_version_is_used_where_it_is() {
    let current = tempfile::tempdir().unwrap();
    let (mut process, api) = start(current.path(), &["--data", "."]).await;
    let id = api.accept("", SAMPLE).await;
    process.terminate();
    process.exit(DEADLINE).await;

    let (process, api) = start(current.path(), &[]).await;
    assert_eq!(api.result(id).await, SAMPLE_SUMS);
    let note = process.find(|line| line.contains("move tasks.sqlite").then(|| line.to_owned()));
    assert!(note.is_some(), "a note is printed");
    assert!(!current.path().join("task-data").exists());
}
