//! Staged files.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::bench::*;
use crate::storage::*;

storage_tests![
    a_staged_file_is_continued_by_other_writers_and_completed,
    a_large_staged_file_is_continued_and_completed,
    an_empty_staged_file_is_completed,
    bytes_without_a_stored_checkpoint_are_overwritten,
    bytes_after_the_last_checkpoint_are_left_out,
    a_writer_that_was_taken_over_changes_nothing,
    a_takeover_without_a_checkpoint_still_protects_from_the_writer_before,
    many_checkpoints_of_a_writer_add_up,
    concurrent_completions_all_succeed,
    a_discarded_staged_file_is_gone,
    a_staged_file_without_a_state_is_discarded_by_its_key,
    small_files_are_concatenated_in_order_and_kept,
    large_files_are_concatenated_in_order_and_kept,
];

/// More than two parts of a bucket.
const LARGE: usize = 21 << 20;

fn writer(number: u32) -> StagingWriter {
    StagingWriter { number, takes_over: false }
}

fn taking_over(number: u32) -> StagingWriter {
    StagingWriter { number, takes_over: true }
}

/// The state as its caller reads it from the database.
fn stored(staged: &Staged) -> Staged {
    serde_json::from_str(&serde_json::to_string(staged).unwrap()).unwrap()
}

/// Appends `content` as another writer.
async fn append(
    storage: &Storage,
    key: ObjectKey,
    staged: Option<&Staged>,
    writer: StagingWriter,
    content: impl Into<Bytes>,
) -> Staged {
    let mut writer = storage.stage(key, staged, writer, Some(LARGE as u64)).await.unwrap();
    writer.write(content.into()).await.unwrap();
    stored(&writer.checkpoint().await.unwrap())
}

async fn staged_files(storage: &Storage) -> Vec<ObjectKey> {
    storage.list_staged(Duration::ZERO).try_collect().await.unwrap()
}

async fn a_staged_file_is_continued_by_other_writers_and_completed(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let first = append(storage, key, None, writer(1), "one ").await;
    let second = append(&bench.again(), key, Some(&first), writer(2), "two ").await;
    let third = append(storage, key, Some(&second), taking_over(5), "three").await;
    assert_eq!((first.size(), second.size(), third.size()), (4, 8, 13));
    assert!(!exists(storage, key).await);
    assert_eq!(staged_files(storage).await, [key]);
    assert_eq!(storage.list_staged(Duration::from_secs(3600)).count().await, 0);

    storage.complete(key, &third).await.unwrap();
    bench.again().complete(key, &third).await.unwrap();
    assert_eq!(read(storage, key, None).await, b"one two three");
    bench.has_only(&[key]).await;
}

async fn a_large_staged_file_is_continued_and_completed(bench: Bench) {
    let content = pattern(2 * LARGE);
    // Sizes below, at and above those of a part; the last write takes over.
    let sizes = [3 << 20, 5 << 20, 8 << 20, 1, 17 << 20, 0, 100];
    let key = input();
    let mut staged = None;
    let mut start = 0;
    for (size, number) in sizes.into_iter().chain([2 * LARGE - (33 << 20) - 101]).zip(1..) {
        let storage = bench.again();
        let by = StagingWriter { number, takes_over: number == 8 };
        let mut writer = storage.stage(key, staged.as_ref(), by, None).await.unwrap();
        for piece in content[start..start + size].chunks(700_000) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        start += size;
        staged = Some(stored(&writer.checkpoint().await.unwrap()));
        assert_eq!(staged.as_ref().unwrap().size(), start as u64);
    }
    bench.storage.complete(key, &staged.unwrap()).await.unwrap();
    assert!(read(&bench.storage, key, None).await == content);
    bench.has_only(&[key]).await;
}

async fn an_empty_staged_file_is_completed(bench: Bench) {
    let key = input();
    let staged = append(&bench.storage, key, None, writer(1), "").await;
    assert_eq!(staged.size(), 0);
    bench.storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(&bench.storage, key, None).await, b"");
}

async fn bytes_without_a_stored_checkpoint_are_overwritten(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let mut lost = storage.stage(key, None, writer(1), None).await.unwrap();
    lost.write(pattern(LARGE)).await.unwrap();
    lost.checkpoint().await.unwrap();
    drop(lost);
    let staged = append(storage, key, None, writer(2), "kept ").await;
    let mut lost = storage.stage(key, Some(&staged), writer(3), None).await.unwrap();
    lost.write(pattern(LARGE)).await.unwrap();
    lost.write(Bytes::from_static(b"lost")).await.unwrap();
    drop(lost);
    let staged = append(storage, key, Some(&staged), writer(4), "too").await;
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(storage, key, None).await, b"kept too");
    bench.has_only(&[key]).await;
}

async fn bytes_after_the_last_checkpoint_are_left_out(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let mut last = storage.stage(key, None, writer(1), None).await.unwrap();
    last.write(Bytes::from_static(b"kept")).await.unwrap();
    let staged = stored(&last.checkpoint().await.unwrap());
    last.write(pattern(LARGE)).await.unwrap();
    last.checkpoint().await.unwrap();
    drop(last);
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(storage, key, None).await, b"kept");
}

async fn a_writer_that_was_taken_over_changes_nothing(bench: Bench) {
    let storage = &bench.storage;
    let (key, noise) = (input(), pattern(LARGE));
    let good = Bytes::from(vec![7; LARGE]);
    let mut frozen = storage.stage(key, None, writer(1), None).await.unwrap();
    frozen.write(good.clone()).await.unwrap();
    let staged = frozen.checkpoint().await.unwrap();
    let again = bench.again();
    let mut second = again.stage(key, Some(&staged), taking_over(2), None).await.unwrap();
    // Both write at the same time.
    frozen.write(noise.clone()).await.unwrap();
    second.write(good.clone()).await.unwrap();
    frozen.write(noise.clone()).await.unwrap();
    let staged = stored(&second.checkpoint().await.unwrap());
    drop(second);
    frozen.checkpoint().await.unwrap();
    let staged = append(&again, key, Some(&staged), writer(3), good.clone()).await;
    again.complete(key, &staged).await.unwrap();
    let _ = frozen.write(noise).await;
    let _ = frozen.checkpoint().await;
    let expected = [&good[..], &good, &good].concat();
    assert!(read(storage, key, None).await == expected);
    drop(frozen);
    storage.discard_staged(key, None).await.unwrap();
    bench.has_only(&[key]).await;
}

async fn a_takeover_without_a_checkpoint_still_protects_from_the_writer_before(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let mut frozen = storage.stage(key, None, writer(1), None).await.unwrap();
    frozen.write(Bytes::from_static(b"good ")).await.unwrap();
    let staged = frozen.checkpoint().await.unwrap();
    drop(storage.stage(key, Some(&staged), taking_over(2), None).await.unwrap());
    let staged = append(storage, key, Some(&staged), writer(3), "bytes").await;
    frozen.write(Bytes::from_static(b"xxxxxxxxxx")).await.unwrap();
    frozen.checkpoint().await.unwrap();
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(storage, key, None).await, b"good bytes");
}

async fn many_checkpoints_of_a_writer_add_up(bench: Bench) {
    let storage = &bench.storage;
    let key = input();
    let mut writer = storage.stage(key, None, writer(1), None).await.unwrap();
    let mut staged = writer.checkpoint().await.unwrap();
    assert_eq!(staged.size(), 0);
    for number in 0..10_u8 {
        writer.write(Bytes::from(vec![number; 100_000])).await.unwrap();
        staged = stored(&writer.checkpoint().await.unwrap());
        assert_eq!(staged, writer.checkpoint().await.unwrap(), "nothing was written in between");
        assert_eq!(staged.size(), 100_000 * (u64::from(number) + 1));
    }
    drop(writer);
    storage.complete(key, &staged).await.unwrap();
    let expected: Vec<_> = (0..10_u8).flat_map(|number| vec![number; 100_000]).collect();
    assert!(read(storage, key, None).await == expected);
    bench.has_only(&[key]).await;
}

async fn concurrent_completions_all_succeed(bench: Bench) {
    for round in 0..6 {
        let key = input();
        let size = [4, LARGE][round % 2];
        let content = pattern(size);
        let mut staged = append(&bench.storage, key, None, writer(1), content).await;
        if round % 3 == 0 {
            staged = append(&bench.storage, key, Some(&staged), taking_over(2), "more").await;
        }
        let completions = (0..4).map(|_| {
            let (storage, staged) = (bench.again(), staged.clone());
            tokio::spawn(async move { storage.complete(key, &staged).await })
        });
        for completion in completions.collect::<Vec<_>>() {
            completion.await.unwrap().unwrap();
        }
        assert_eq!(read(&bench.storage, key, None).await.len() as u64, staged.size());
        bench.has_only(&[key]).await;
        bench.storage.delete(key).await.unwrap();
    }
}

async fn a_discarded_staged_file_is_gone(bench: Bench) {
    let storage = &bench.storage;
    for size in [5, LARGE] {
        let key = input();
        let staged = append(storage, key, None, writer(1), pattern(size)).await;
        storage.discard_staged(key, Some(&staged)).await.unwrap();
        storage.discard_staged(key, Some(&staged)).await.unwrap();
        bench.has_only(&[]).await;
        let completed = storage.complete(key, &staged).await;
        assert!(matches!(completed, Err(StorageError::Lost(_))), "{completed:?}");
    }
}

async fn a_staged_file_without_a_state_is_discarded_by_its_key(bench: Bench) {
    let (key, other) = (input(), input());
    for key in [key, other] {
        append(&bench.storage, key, None, writer(1), pattern(LARGE)).await;
    }
    bench.storage.discard_staged(key, None).await.unwrap();
    assert_eq!(staged_files(&bench.storage).await, [other]);
    bench.storage.discard_staged(other, None).await.unwrap();
    bench.has_only(&[]).await;
}

async fn small_files_are_concatenated_in_order_and_kept(bench: Bench) {
    concatenated(&bench, &["first ".into(), "".into(), "second".into()]).await;
}

async fn large_files_are_concatenated_in_order_and_kept(bench: Bench) {
    let parts = [pattern(LARGE), pattern(6 << 20).slice(1..), Bytes::new(), pattern(11)];
    concatenated(&bench, &parts).await;
}

async fn concatenated(bench: &Bench, contents: &[Bytes]) {
    let storage = &bench.storage;
    let mut parts = Vec::new();
    for content in contents {
        let key = input();
        write(storage, key, content.clone()).await;
        parts.push((key, content.len() as u64));
    }
    let whole = input();
    let mut wrong = parts.clone();
    wrong[0].1 += 1;
    assert!(storage.concatenate(whole, &wrong).await.is_err());
    assert!(!exists(storage, whole).await);
    storage.concatenate(whole, &parts).await.unwrap();
    assert!(read(storage, parts[0].0, None).await == contents[0]);
    // Repeated after the parts were deleted.
    for (part, _) in &parts {
        storage.delete(*part).await.unwrap();
    }
    bench.again().concatenate(whole, &parts).await.unwrap();
    assert!(read(storage, whole, None).await == contents.concat());
    bench.has_only(&[whole]).await;
}

/// Whatever the number of requests: a bucket would otherwise have a tail of each.
#[tokio::test(flavor = "multi_thread")]
async fn obsolete_tails_are_deleted() {
    let bench = Bench::bucket();
    let key = input();
    let mut staged = None;
    for number in 1..8 {
        let mut writer =
            bench.storage.stage(key, staged.as_ref(), writer(number), None).await.unwrap();
        for _ in 0..3 {
            writer.write(Bytes::from_static(b"bytes")).await.unwrap();
            staged = Some(stored(&writer.checkpoint().await.unwrap()));
        }
    }
    for _ in 0..200 {
        if bench.names().await.len() <= 2 {
            return bench.storage.complete(key, &staged.unwrap()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", bench.names().await);
}

/// As on a shared file system without locks, where the frozen writer is on another machine.
#[tokio::test]
async fn a_takeover_protects_without_locks_too() {
    let bench = Bench::folder();
    for has_checkpoint in [true, false] {
        let key = input();
        let mut staged = append(&bench.storage, key, None, writer(1), "good ").await;
        let segment = bench.path().join(key::STAGED).join(key.task_id().to_string()).join("1");
        let frozen = std::fs::File::options().write(true).open(segment).unwrap();
        if has_checkpoint {
            staged = append(&bench.storage, key, Some(&staged), taking_over(2), "more ").await;
        } else {
            drop(bench.storage.stage(key, Some(&staged), taking_over(2), None).await.unwrap());
        }
        staged = append(&bench.storage, key, Some(&staged), writer(3), "bytes").await;
        frozen.write_all_at(b"xxxxxxxxxxxxxxx", 5).unwrap();
        bench.storage.complete(key, &staged).await.unwrap();
        frozen.write_all_at(b"xxxxxxxxxxxxxxx", 5).unwrap();
        let expected: &[u8] = if has_checkpoint { b"good more bytes" } else { b"good bytes" };
        assert_eq!(read(&bench.storage, key, None).await, expected);
    }
}

/// The last write of a dropped writer may still be in progress, or a caller may be wrong about the
/// end of the one before.
#[tokio::test]
async fn a_segment_that_another_writer_has_open_is_left_alone() {
    let bench = Bench::folder();
    let key = input();
    let staged = append(&bench.storage, key, None, writer(1), "good ").await;
    let segment = bench.path().join(key::STAGED).join(key.task_id().to_string()).join("1");
    let mut file = std::fs::File::options().append(true).open(segment).unwrap();
    file.lock().unwrap();
    file.write_all(b"late").unwrap();
    let continued = append(&bench.storage, key, Some(&staged), writer(2), "bytes").await;
    let alone = input();
    bench.storage.complete(key, &continued).await.unwrap();
    file.write_all(b"later").unwrap();
    assert_eq!(read(&bench.storage, key, None).await, b"good bytes");

    let staged = append(&bench.storage, alone, None, writer(1), "alone").await;
    let segment = bench.path().join(key::STAGED).join(alone.task_id().to_string()).join("1");
    let mut file = std::fs::File::options().append(true).open(segment).unwrap();
    file.lock().unwrap();
    bench.storage.complete(alone, &staged).await.unwrap();
    file.write_all(b"later").unwrap();
    assert_eq!(read(&bench.storage, alone, None).await, b"alone");
}

#[tokio::test]
async fn missing_bytes_of_a_segment_are_noticed() {
    let bench = Bench::folder();
    let storage = &bench.storage;
    let key = input();
    let staged = append(storage, key, None, writer(1), "content").await;
    let segment = bench.path().join(key::STAGED).join(key.task_id().to_string()).join("1");
    std::fs::File::options().write(true).open(segment).unwrap().set_len(3).unwrap();
    let is_lost = |outcome: Result<(), StorageError>| matches!(outcome, Err(StorageError::Lost(_)));
    assert!(is_lost(storage.stage(key, Some(&staged), writer(2), None).await.map(drop)));
    assert!(is_lost(storage.complete(key, &staged).await));
    let taken_over = append(storage, key, Some(&staged), taking_over(3), "more").await;
    assert!(is_lost(storage.complete(key, &taken_over).await));
    assert!(!exists(storage, key).await);
}

#[tokio::test]
async fn the_state_of_another_storage_is_not_used() {
    let (folder, bucket) = (Bench::folder(), Bench::bucket());
    let key = input();
    let staged = append(&folder.storage, key, None, writer(1), "content").await;
    let continued = bucket.storage.stage(key, Some(&staged), writer(2), None).await;
    assert!(matches!(continued, Err(StorageError::Lost(_))));
    assert!(matches!(bucket.storage.complete(key, &staged).await, Err(StorageError::Lost(_))));
}

#[test]
fn states_of_unknown_storages_are_refused() {
    assert!(serde_json::from_str::<Staged>(r#"{"elsewhere":[]}"#).is_err());
}
