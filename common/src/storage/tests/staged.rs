//! Staged files.

use super::*;

fn writer(number: u32) -> StagingWriter {
    StagingWriter { number, takes_over: false }
}

fn taking_over(number: u32) -> StagingWriter {
    StagingWriter { number, takes_over: true }
}

/// Appends `content` as another writer, through the text that a caller stores.
async fn append(
    storage: &Storage,
    key: ObjectKey,
    staged: Option<&Staged>,
    writer: StagingWriter,
    content: &'static [u8],
) -> Staged {
    let mut writer = storage.stage(key, staged, writer, None).await.unwrap();
    writer.write(Bytes::from_static(content)).await.unwrap();
    let staged = writer.checkpoint().await.unwrap();
    serde_json::from_str(&serde_json::to_string(&staged).unwrap()).unwrap()
}

async fn staged_files(storage: &Storage) -> Vec<ObjectKey> {
    storage.list_staged(Duration::ZERO).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_staged_file_is_continued_by_other_writers_and_completed() {
    let folder = tempfile::tempdir().unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let storage = Storage::local(folder.path()).unwrap();
    let first = append(&storage, key, None, writer(1), b"one ").await;
    let storage = Storage::local(folder.path()).unwrap();
    let second = append(&storage, key, Some(&first), writer(2), b"two ").await;
    let third = append(&storage, key, Some(&second), taking_over(5), b"three").await;
    assert_eq!((first.size(), second.size(), third.size()), (4, 8, 13));
    assert!(matches!(storage.open(key, None).await, Err(StorageError::NotFound(_))));
    assert_eq!(staged_files(&storage).await, [key]);

    storage.complete(key, &third).await.unwrap();
    storage.complete(key, &third).await.unwrap();
    assert_eq!(read(&storage, key, None).await, b"one two three");
    assert_eq!(staged_files(&storage).await, []);
}

#[tokio::test]
async fn an_empty_staged_file_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let staged = append(&storage, key, None, writer(1), b"").await;
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(&storage, key, None).await, b"");
}

#[tokio::test]
async fn bytes_without_a_stored_checkpoint_are_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let mut lost = storage.stage(key, None, writer(1), None).await.unwrap();
    lost.write(Bytes::from_static(b"lost")).await.unwrap();
    lost.checkpoint().await.unwrap();
    drop(lost);
    let staged = append(&storage, key, None, writer(2), b"kept ").await;
    let mut lost = storage.stage(key, Some(&staged), writer(3), None).await.unwrap();
    lost.write(Bytes::from(vec![b'x'; 3 << 20])).await.unwrap();
    lost.write(Bytes::from_static(b"lost")).await.unwrap();
    drop(lost);
    let staged = append(&storage, key, Some(&staged), writer(4), b"too").await;
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(&storage, key, None).await, b"kept too");
}

#[tokio::test]
async fn a_writer_that_was_taken_over_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let mut frozen = storage.stage(key, None, writer(1), None).await.unwrap();
    frozen.write(Bytes::from_static(b"good ")).await.unwrap();
    let staged = frozen.checkpoint().await.unwrap();
    let second = append(&storage, key, Some(&staged), taking_over(2), b"bytes").await;
    let third = append(&storage, key, Some(&second), writer(3), b" only").await;
    frozen.write(Bytes::from(vec![b'x'; 3 << 20])).await.unwrap();
    frozen.checkpoint().await.unwrap();
    storage.complete(key, &third).await.unwrap();
    let _ = frozen.write(Bytes::from_static(b"late")).await;
    let _ = frozen.checkpoint().await;
    assert_eq!(read(&storage, key, None).await, b"good bytes only");
}

#[tokio::test]
async fn a_takeover_without_a_checkpoint_still_protects_from_the_writer_before() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let mut frozen = storage.stage(key, None, writer(1), None).await.unwrap();
    frozen.write(Bytes::from_static(b"good ")).await.unwrap();
    let staged = frozen.checkpoint().await.unwrap();
    drop(storage.stage(key, Some(&staged), taking_over(2), None).await.unwrap());
    let staged = append(&storage, key, Some(&staged), writer(3), b"bytes").await;
    frozen.write(Bytes::from_static(b"xxxxxxxxxx")).await.unwrap();
    frozen.checkpoint().await.unwrap();
    storage.complete(key, &staged).await.unwrap();
    assert_eq!(read(&storage, key, None).await, b"good bytes");
}

#[tokio::test]
async fn missing_bytes_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let staged = append(&storage, key, None, writer(1), b"content").await;
    let segment = folder.path().join(STAGED).join(key.task_id().to_string()).join("1");
    File::options().write(true).open(segment).unwrap().set_len(3).unwrap();
    assert!(storage.stage(key, Some(&staged), writer(2), None).await.is_err());
    assert!(storage.complete(key, &staged).await.is_err());
    let taken_over = append(&storage, key, Some(&staged), taking_over(3), b"more").await;
    assert!(storage.complete(key, &taken_over).await.is_err());
    assert!(matches!(storage.open(key, None).await, Err(StorageError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_completions_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    for round in 0..20 {
        let key = ObjectKey::Input(TaskId::new());
        let mut staged = append(&storage, key, None, writer(1), b"all ").await;
        if round % 2 == 0 {
            staged = append(&storage, key, Some(&staged), taking_over(2), b"bytes").await;
        }
        let completions = (0..4).map(|_| {
            let (storage, staged) = (storage.clone(), staged.clone());
            tokio::spawn(async move { storage.complete(key, &staged).await })
        });
        for completion in completions.collect::<Vec<_>>() {
            completion.await.unwrap().unwrap();
        }
        assert_eq!(read(&storage, key, None).await.len() as u64, staged.size());
    }
}

#[tokio::test]
async fn a_discarded_staged_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let key = ObjectKey::Input(TaskId::new());
    let staged = append(&storage, key, None, writer(1), b"content").await;
    assert_eq!(storage.list_staged(Duration::from_secs(3600)).count().await, 0);
    storage.discard_staged(key, Some(&staged)).await.unwrap();
    storage.discard_staged(key, None).await.unwrap();
    assert_eq!(staged_files(&storage).await, []);
    assert!(storage.complete(key, &staged).await.is_err());
}

#[tokio::test]
async fn files_are_concatenated_in_order_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::local(folder.path()).unwrap();
    let [first, second, whole] = [(); 3].map(|()| ObjectKey::Input(TaskId::new()));
    write(&storage, first, b"first ").await;
    write(&storage, second, b"second").await;
    assert!(storage.concatenate(whole, &[(first, 6), (second, 7)]).await.is_err());
    assert!(matches!(storage.open(whole, None).await, Err(StorageError::NotFound(_))));
    storage.concatenate(whole, &[(first, 6), (second, 6)]).await.unwrap();
    assert_eq!(read(&storage, first, None).await, b"first ");
    storage.delete(first).await.unwrap();
    storage.concatenate(whole, &[(first, 6), (second, 6)]).await.unwrap();
    assert_eq!(read(&storage, whole, None).await, b"first second");
}

#[test]
fn states_of_unknown_storages_are_refused() {
    assert!(serde_json::from_str::<Staged>(r#"{"elsewhere":[]}"#).is_err());
}
