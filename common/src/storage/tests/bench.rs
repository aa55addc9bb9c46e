//! A storage of each kind, and what tests do with it.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tempfile::TempDir;
use uuid::Uuid;

use crate::config::Switch;
use crate::storage::location::AccessKey;
use crate::storage::*;
use crate::task::TaskId;
use crate::tls::Trust;

/// Runs each test on a local folder and in a bucket.
macro_rules! storage_tests {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn in_a_folder() {
                    super::$name($crate::storage::tests::bench::Bench::folder()).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn in_a_bucket() {
                    super::$name($crate::storage::tests::bench::Bench::bucket()).await;
                }
            }
        )+
    };
}
pub(super) use storage_tests;

/// An empty storage.
pub(super) struct Bench {
    pub(super) storage: Storage,
    config: StorageConfig,
    /// The local folder, if it is one.
    folder: Option<TempDir>,
}

impl Bench {
    pub(super) fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::connect(StorageConfig::folder(folder.path()), Some(folder))
    }

    pub(super) fn bucket() -> Self {
        Self::bucket_at(&endpoint())
    }

    /// A bucket whose server is reached at another URL.
    pub(super) fn bucket_at(endpoint: &str) -> Self {
        let Server { bucket, access_key, .. } = Server::of_tests();
        let access_key = Some(access_key);
        let location = format!("s3://{bucket}/test-{}", Uuid::new_v4()).parse().unwrap();
        let endpoint = Some(endpoint.to_owned());
        let virtual_hosted = Switch::Auto;
        let config = StorageConfig { location, endpoint, region: None, access_key, virtual_hosted };
        Self::connect(config, None)
    }

    fn connect(config: StorageConfig, folder: Option<TempDir>) -> Self {
        let storage = Storage::connect(&config, &Trust::default()).unwrap();
        Self { storage, config, folder }
    }

    /// The same files, as another process sees them.
    pub(super) fn again(&self) -> Storage {
        Storage::connect(&self.config, &Trust::default()).unwrap()
    }

    /// The same bucket, whose server is reached at another URL.
    pub(super) fn at(&self, endpoint: String) -> Storage {
        let config = StorageConfig { endpoint: Some(endpoint), ..self.config.clone() };
        Storage::connect(&config, &Trust::default()).unwrap()
    }

    /// The local folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// The names of all objects of the bucket.
    pub(super) async fn names(&self) -> Vec<String> {
        match &self.storage.backend {
            Backend::Local(_) => Vec::new(),
            Backend::Bucket(bucket) => bucket.names().await,
        }
    }

    /// Checks that nothing but these files exists, finished or not.
    pub(super) async fn has_only(&self, expected: &[ObjectKey]) {
        let storage = &self.storage;
        let mut last = String::new();
        // What is dropped is removed in the background.
        for _ in 0..200 {
            let zero = Duration::ZERO;
            let files = storage.list_inputs(zero).chain(storage.list_outputs(zero));
            let mut found: Vec<_> = files.try_collect().await.unwrap();
            let staged: Vec<_> = storage.list_staged(zero).try_collect().await.unwrap();
            let unfinished: Vec<_> = storage.list_unfinished(zero).try_collect().await.unwrap();
            let temporary = self.temporary_files();
            last = format!("{found:?}, staged {staged:?}, {unfinished:?}, {temporary:?}");
            found.sort_by_key(ToString::to_string);
            let mut expected = expected.to_vec();
            expected.sort_by_key(ToString::to_string);
            if found == expected
                && staged.is_empty()
                && unfinished.is_empty()
                && temporary.is_empty()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("there is {last}, instead of {expected:?}");
    }

    fn temporary_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders: Vec<_> = self.folder.iter().map(|root| root.path().to_owned()).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ if name.contains(['#', '-']) && name.parse::<TaskId>().is_err() => {
                        found.push(name);
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// The server of S3.
struct Server {
    endpoint: String,
    bucket: String,
    access_key: AccessKey,
}

impl Server {
    /// From `http://ID:SECRET@HOST:PORT/BUCKET`.
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    fn of_tests() -> Self {
        let url = std::env::var("TEST_S3_URL").expect("start the services first: make services");
        let (key, place) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
        let (id, secret) = key.split_once(':').unwrap();
        let (address, bucket) = place.split_once('/').unwrap();
        Self {
            endpoint: format!("http://{address}"),
            bucket: bucket.to_owned(),
            access_key: AccessKey { id: id.to_owned(), secret: secret.into(), session_token: None },
        }
    }
}

pub(super) fn endpoint() -> String {
    Server::of_tests().endpoint
}

pub(super) fn input() -> ObjectKey {
    ObjectKey::Input(TaskId::new())
}

pub(super) fn output(task_id: TaskId, attempt: u32) -> ObjectKey {
    ObjectKey::Output { task_id, attempt, part: OutputPart::Result }
}

pub(super) async fn read(storage: &Storage, key: ObjectKey, range: Option<Range<u64>>) -> Vec<u8> {
    let stream = storage.open(key, range).await.unwrap().into_stream().await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    pieces.concat()
}

pub(super) async fn write(storage: &Storage, key: ObjectKey, content: impl Into<Bytes>) {
    let content: Bytes = content.into();
    let mut writer = storage.create(key);
    writer.write(content.clone()).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), content.len() as u64);
}

pub(super) async fn exists(storage: &Storage, key: ObjectKey) -> bool {
    match storage.open(key, None).await {
        Ok(_) => true,
        Err(StorageError::NotFound(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Bytes of which no part is like another.
pub(super) fn pattern(size: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let all = PATTERN.get_or_init(|| (0..45 << 20).map(|n: u32| (n / 251 + n) as u8).collect());
    all.slice(..size)
}
