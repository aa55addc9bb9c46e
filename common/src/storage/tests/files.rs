//! Files that are written at once.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::bench::*;
use crate::storage::*;
use crate::task::TaskId;

storage_tests![
    contents_read_back_whole_and_in_part,
    a_large_file_reads_back,
    blocking_code_reads_and_writes,
    empty_files_are_files,
    unfinished_files_are_invisible,
    dropped_and_aborted_writers_leave_nothing,
    an_output_is_never_replaced,
    an_input_may_be_written_again,
    an_input_is_copied,
    a_copy_needs_the_whole_file,
    outputs_are_listed_and_deleted_by_attempt_and_by_task,
    a_missing_file_is_named,
    a_storage_is_ready,
];

/// More than is written by a single request.
const LARGE: usize = 21 << 20;

async fn contents_read_back_whole_and_in_part(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    write(storage, key, "0123456789").await;
    assert_eq!(read(storage, key, None).await, b"0123456789");
    assert_eq!(read(storage, key, Some(2..5)).await, b"234");
    assert_eq!(read(storage, key, Some(7..20)).await, b"789");
    assert_eq!(storage.open(key, Some(2..5)).await.unwrap().size(), 10);
    assert!(storage.open(key, Some(10..11)).await.is_err());
    let part = storage.open(key, Some(2..5)).await.unwrap();
    let bytes = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        part.into_blocking().read_to_end(&mut bytes).map(|_| bytes)
    });
    assert_eq!(bytes.await.unwrap().unwrap(), b"234");
}

async fn a_large_file_reads_back(bench: Bench) {
    let storage = &bench.storage;
    let content = pattern(LARGE);
    for key in [input(), output(TaskId::new(), 1)] {
        let mut writer = storage.create(key);
        // Pieces of all sizes.
        let mut rest = content.clone();
        for size in [1, 5000, 300_000, 9 << 20].into_iter().cycle() {
            writer.write(rest.split_to(rest.len().min(size))).await.unwrap();
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(writer.finish().await.unwrap(), LARGE as u64);
        assert!(read(storage, key, None).await == content);
        let range = 7_654_321..20_000_000;
        let part = read(&bench.again(), key, Some(range.start as u64..range.end as u64)).await;
        assert!(part == content[range]);
    }
}

async fn blocking_code_reads_and_writes(bench: Bench) {
    let storage = &bench.storage;
    let key = output(TaskId::new(), 1);
    let mut writer = storage.create(key).into_blocking();
    let content = pattern(LARGE);
    let expected = content.clone();
    let writer = tokio::task::spawn_blocking(move || {
        for chunk in content.chunks(300_000) {
            writer.write_all(chunk).unwrap();
        }
        writer.into_inner()
    });
    assert_eq!(writer.await.unwrap().finish().await.unwrap(), LARGE as u64);
    let reader = storage.open(key, None).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.into_blocking().read_to_end(&mut bytes).map(|_| bytes)
    });
    assert!(read.await.unwrap().unwrap() == expected);
}

async fn empty_files_are_files(bench: Bench) {
    let storage = &bench.storage;
    for key in [input(), output(TaskId::new(), 1)] {
        assert_eq!(storage.create(key).finish().await.unwrap(), 0);
        assert_eq!(storage.open(key, None).await.unwrap().size(), 0);
        assert_eq!(read(storage, key, None).await, b"");
    }
}

async fn unfinished_files_are_invisible(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let mut writer = storage.create(key);
    writer.write(pattern(LARGE)).await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(!exists(storage, key).await);
    assert_eq!(storage.list_inputs(Duration::ZERO).count().await, 0);
    writer.finish().await.unwrap();
    assert!(exists(storage, key).await);
}

async fn dropped_and_aborted_writers_leave_nothing(bench: Bench) {
    let storage = &bench.storage;
    for size in [1, LARGE] {
        for key in [input(), output(TaskId::new(), 1)] {
            for drops in [true, false] {
                let mut writer = storage.create(key);
                writer.write(pattern(size)).await.unwrap();
                writer.write(Bytes::from_static(b"x")).await.unwrap();
                match drops {
                    true => drop(writer),
                    false => writer.abort().await.unwrap(),
                }
            }
        }
    }
    bench.has_only(&[]).await;
}

async fn an_output_is_never_replaced(bench: Bench) {
    let storage = &bench.storage;
    for size in [4, LARGE] {
        let key = output(TaskId::new(), 1);
        let mut late = storage.create(key);
        late.write(pattern(size)).await.unwrap();
        write(&bench.again(), key, "first").await;
        assert!(matches!(late.finish().await, Err(StorageError::AlreadyExists(_))), "{size}");
        assert_eq!(read(storage, key, None).await, b"first");
        storage.delete(key).await.unwrap();
    }
    bench.has_only(&[]).await;
}

async fn an_input_may_be_written_again(bench: Bench) {
    let key = input();
    write(&bench.storage, key, "first").await;
    write(&bench.storage, key, "second").await;
    assert_eq!(read(&bench.storage, key, None).await, b"second");
}

async fn an_input_is_copied(bench: Bench) {
    let storage = &bench.storage;
    for size in [0, 1, LARGE] {
        let (original, copied) = (input(), input());
        write(storage, original, pattern(size)).await;
        for _ in 0..2 {
            storage.copy(original, copied, size as u64).await.unwrap();
        }
        bench.has_only(&[original, copied]).await;
        storage.delete(original).await.unwrap();
        assert!(read(&bench.again(), copied, None).await == pattern(size));
        // A copy can be copied, and is a file of its own.
        storage.copy(copied, original, size as u64).await.unwrap();
        write(storage, original, "other").await;
        assert!(read(storage, copied, None).await == pattern(size));
        storage.delete(original).await.unwrap();
        storage.delete(copied).await.unwrap();
    }
    bench.has_only(&[]).await;
}

async fn a_copy_needs_the_whole_file(bench: Bench) {
    let storage = &bench.storage;
    let (original, copied) = (input(), input());
    let missing = storage.copy(original, copied, 4).await.unwrap_err();
    assert!(matches!(missing, StorageError::NotFound(key) if key == original), "{missing}");
    write(storage, original, "123").await;
    let short = storage.copy(original, copied, 4).await.unwrap_err();
    assert!(matches!(short, StorageError::Lost(key) if key == original), "{short}");
    write(storage, copied, "12").await;
    let taken = storage.copy(original, copied, 3).await.unwrap_err();
    assert!(matches!(taken, StorageError::AlreadyExists(key) if key == copied), "{taken}");
    bench.has_only(&[original, copied]).await;
}

async fn outputs_are_listed_and_deleted_by_attempt_and_by_task(bench: Bench) {
    let storage = &bench.storage;
    let (first, second) = (TaskId::new(), TaskId::new());
    let rejected = ObjectKey::Output { task_id: first, attempt: 2, part: OutputPart::Rejected };
    for key in [output(first, 1), output(first, 2), rejected, output(second, 1)] {
        write(storage, key, "x").await;
    }
    assert_eq!(storage.list_outputs(Duration::ZERO).count().await, 4);
    assert_eq!(storage.list_outputs(Duration::from_secs(3600)).count().await, 0);
    storage.delete_attempt(first, 2).await.unwrap();
    let left: Vec<_> = storage.list_outputs(Duration::ZERO).try_collect().await.unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&output(first, 1)) && left.contains(&output(second, 1)));
    storage.delete_outputs(first).await.unwrap();
    storage.delete_outputs(first).await.unwrap();
    bench.has_only(&[output(second, 1)]).await;
}

async fn a_missing_file_is_named(bench: Bench) {
    let key = input();
    let error = bench.storage.open(key, None).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound(missing) if missing == key));
    bench.storage.delete(key).await.unwrap();
}

async fn a_storage_is_ready(bench: Bench) {
    bench.storage.check().await.unwrap();
}
