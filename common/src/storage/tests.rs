mod staged;

use std::fs::File;
use std::io::{Read, Write};

use bytes::Bytes;

use super::key::STAGED;
use super::*;

/// More than is gathered for a write.
const PART_SIZE: usize = 1 << 20;

async fn read(storage: &Storage, key: ObjectKey, range: Option<Range<u64>>) -> Vec<u8> {
    let stream = storage.open(key, range).await.unwrap().into_stream().await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    pieces.concat()
}

async fn write(storage: &Storage, key: ObjectKey, content: &'static [u8]) {
    let mut writer = storage.create(key);
    writer.write(Bytes::from_static(content)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), content.len() as u64);
}

fn output(task_id: TaskId, attempt: u32) -> ObjectKey {
    ObjectKey::Output { task_id, attempt, part: OutputPart::Result }
}

#[tokio::test]
async fn contents_read_back_whole_and_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    write(&storage, key, b"0123456789").await;
    assert_eq!(read(&storage, key, None).await, b"0123456789");
    assert_eq!(read(&storage, key, Some(2..5)).await, b"234");
    assert_eq!(storage.open(key, Some(2..5)).await.unwrap().size(), 10);
    let mut part = storage.open(key, Some(2..5)).await.unwrap().into_blocking();
    let mut bytes = Vec::new();
    part.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"234");
}

#[tokio::test]
async fn blocking_code_reads_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = output(TaskId::new(), 1);
    let mut writer = storage.create(key).into_blocking();
    let content = vec![7; 3 * PART_SIZE + 1];
    let expected = content.clone();
    let writer = tokio::task::spawn_blocking(move || {
        writer.write_all(&content).unwrap();
        writer.into_inner()
    });
    writer.await.unwrap().finish().await.unwrap();
    let mut reader = storage.open(key, None).await.unwrap().into_blocking();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    assert!(read.await.unwrap().unwrap() == expected);
}

#[tokio::test]
async fn unfinished_files_are_invisible() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let mut writer = storage.create(key);
    writer.write(Bytes::from(vec![1; 3 * PART_SIZE])).await.unwrap();
    assert!(matches!(storage.open(key, None).await, Err(StorageError::NotFound(_))));
    writer.abort().await.unwrap();
    assert!(matches!(storage.open(key, None).await, Err(StorageError::NotFound(_))));
    let left = std::fs::read_dir(folder.path().join(INPUTS)).unwrap().count();
    assert_eq!(left, 0, "nothing is left in the folder");
}

#[tokio::test]
async fn old_leftovers_of_killed_processes_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let task_folder = folder.path().join(OUTPUTS).join(TaskId::new().to_string());
    std::fs::create_dir_all(&task_folder).unwrap();
    std::fs::write(task_folder.join("1.csv#1"), b"half").unwrap();
    let begun = folder.path().join(OUTPUTS).join(TaskId::new().to_string());
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
    let key = ObjectKey::Input(TaskId::new());
    write(&storage, key, b"again").await;
    assert_eq!(read(&storage, key, None).await, b"again");
    std::fs::remove_dir_all(&folder).unwrap();
    storage.check().await.unwrap();
    assert!(folder.join(OUTPUTS).is_dir());
    assert_eq!(storage.list_outputs(Duration::ZERO).count().await, 0);
}

#[tokio::test]
async fn outputs_are_listed_and_deleted_by_attempt_and_by_task() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (first, second) = (TaskId::new(), TaskId::new());
    let rejected = ObjectKey::Output { task_id: first, attempt: 2, part: OutputPart::Rejected };
    for key in [output(first, 1), output(first, 2), rejected, output(second, 1)] {
        write(&storage, key, b"x").await;
    }
    assert_eq!(storage.list_outputs(Duration::ZERO).count().await, 4);
    storage.delete_attempt(first, 2).await.unwrap();
    let left: Vec<_> = storage.list_outputs(Duration::ZERO).try_collect().await.unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&output(first, 1)) && left.contains(&output(second, 1)));
    storage.delete_outputs(first).await.unwrap();
    storage.delete_outputs(first).await.unwrap();
    assert_eq!(storage.list_outputs(Duration::ZERO).count().await, 1);
    assert!(!folder.path().join(OUTPUTS).join(first.to_string()).exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let outputs = folder.path().join(OUTPUTS);
    let tasks: Vec<TaskId> = (0..20).map(|_| TaskId::new()).collect();
    for (number, task) in tasks.iter().enumerate() {
        write(&storage, output(*task, 1), b"x").await;
        if number % 5 == 0 {
            // A link to itself, which is an error for every walk through it.
            let endless = outputs.join(format!("endless-{number}"));
            std::os::unix::fs::symlink(&outputs, endless).unwrap();
        }
    }
    let listed: Vec<_> = storage.list_outputs(Duration::ZERO).collect().await;
    assert!(listed.iter().any(Result::is_err));
    let mut found: Vec<_> = listed.into_iter().flatten().map(ObjectKey::task_id).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, tasks);
}

#[tokio::test]
async fn recent_files_are_left_out_of_lists() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let (young, old) = (TaskId::new(), TaskId::new());
    let hour = Duration::from_secs(3600);
    for task in [young, old] {
        write(&storage, ObjectKey::Input(task), b"x").await;
        write(&storage, output(task, 1), b"x").await;
    }
    for key in [ObjectKey::Input(old), output(old, 1)] {
        let file = File::options().write(true).open(folder.path().join(key.to_string())).unwrap();
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

#[tokio::test]
async fn an_output_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = output(TaskId::new(), 1);
    let mut late = storage.create(key);
    late.write(Bytes::from_static(b"late")).await.unwrap();
    write(&storage, key, b"first").await;
    assert!(matches!(late.finish().await, Err(StorageError::AlreadyExists(_))));
    assert_eq!(read(&storage, key, None).await, b"first");
    assert_eq!(storage.remove_unfinished(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test]
async fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let mut writer = storage.create(ObjectKey::Input(TaskId::new()));
    writer.write(Bytes::from(vec![1; 3 * PART_SIZE])).await.unwrap();
    let files = || std::fs::read_dir(folder.path().join(INPUTS)).unwrap().count();
    assert_eq!(files(), 1);
    drop(writer);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while files() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the file is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
