//! Local folders.

use std::fs::File;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;

use super::bench::*;
use crate::storage::key::{INPUTS, OUTPUTS};
use crate::storage::*;
use crate::task::TaskId;

#[tokio::test]
async fn old_leftovers_of_killed_processes_are_removed() {
    let bench = Bench::folder();
    let storage = &bench.storage;
    let task_folder = bench.path().join(OUTPUTS).join(TaskId::new().to_string());
    std::fs::create_dir_all(&task_folder).unwrap();
    std::fs::write(task_folder.join("1.csv#1"), b"half").unwrap();
    let begun = bench.path().join(OUTPUTS).join(TaskId::new().to_string());
    std::fs::create_dir(&begun).unwrap();
    assert_eq!(storage.remove_unfinished(Duration::from_secs(3600)).await.unwrap(), 0);
    assert!(begun.exists(), "a file may be written there soon");
    assert_eq!(storage.remove_unfinished(Duration::ZERO).await.unwrap(), 1);
    assert!(!task_folder.exists() && !begun.exists());
}

#[tokio::test]
async fn a_deleted_folder_is_created_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("bucket");
    let storage = Storage::local(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let key = input();
    write(&storage, key, "again").await;
    assert_eq!(read(&storage, key, None).await, b"again");
    std::fs::remove_dir_all(&folder).unwrap();
    storage.check().await.unwrap();
    assert!(folder.join(INPUTS).is_dir() && folder.join(OUTPUTS).is_dir());
    assert_eq!(storage.list_outputs(Duration::ZERO).count().await, 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_hides_no_other() {
    let bench = Bench::folder();
    let outputs = bench.path().join(OUTPUTS);
    let tasks: Vec<TaskId> = (0..20).map(|_| TaskId::new()).collect();
    for (number, task) in tasks.iter().enumerate() {
        write(&bench.storage, output(*task, 1), "x").await;
        if number % 5 == 0 {
            // A link to itself, which is an error for every walk through it.
            let endless = outputs.join(format!("endless-{number}"));
            std::os::unix::fs::symlink(&outputs, endless).unwrap();
        }
    }
    let listed: Vec<_> = bench.storage.list_outputs(Duration::ZERO).collect().await;
    assert!(listed.iter().any(Result::is_err));
    let mut found: Vec<_> = listed.into_iter().flatten().map(ObjectKey::task_id).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, tasks);
}

#[tokio::test]
async fn the_folder_of_a_task_goes_with_its_last_output() {
    let bench = Bench::folder();
    let task_id = TaskId::new();
    write(&bench.storage, output(task_id, 1), "x").await;
    bench.storage.delete_outputs(task_id).await.unwrap();
    assert!(!bench.path().join(OUTPUTS).join(task_id.to_string()).exists());
}

#[tokio::test]
async fn recent_files_are_left_out_of_lists() {
    let bench = Bench::folder();
    let storage = &bench.storage;
    let (young, old) = (TaskId::new(), TaskId::new());
    let hour = Duration::from_secs(3600);
    for task in [young, old] {
        write(storage, ObjectKey::Input(task), "x").await;
        write(storage, output(task, 1), "x").await;
    }
    for key in [ObjectKey::Input(old), output(old, 1)] {
        let file = File::options().write(true).open(bench.path().join(key.to_string())).unwrap();
        file.set_modified(SystemTime::now() - hour).unwrap();
    }
    let listed = storage.list_inputs(hour).chain(storage.list_outputs(hour));
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(listed, [ObjectKey::Input(old), output(old, 1)]);
}

#[test]
fn only_own_paths_are_keys() {
    let task_id = TaskId::new();
    for key in [ObjectKey::Input(task_id), output(task_id, 3)] {
        assert_eq!(ObjectKey::parse(&key.to_string()), Some(key));
    }
    for foreign in ["raw_data/notes.txt", "processed_data/x/1.csv", "raw_data", "a/b/c/d"] {
        assert_eq!(ObjectKey::parse(foreign), None, "{foreign}");
    }
}
