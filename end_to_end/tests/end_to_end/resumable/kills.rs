//! Task managers that are killed while they receive uploads: no acknowledged byte is lost, and each
//! file becomes one task.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::task::TaskId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;

use super::upload::{Sent, Upload};
use super::{AT_ONCE, assert_arrived, random_bytes};
use crate::end_to_end::api::{Api, eventually};
use crate::end_to_end::bucket;
use crate::end_to_end::crashes::processed;
use crate::end_to_end::fleet::Fleet;
use crate::end_to_end::fleet::relay::Relay;
use crate::end_to_end::fleet::services::Services;
use crate::end_to_end::standalone::Standalone;

const KILLS: usize = 50;
/// Each takes over a second, because a task manager waits for its dead predecessor.
const KILLS_OF_A_FLEET: usize = 25;
/// Another seed results in other files and other moments.
const SEED: u64 = 20_261_107;
/// Several kills hit each file, and several files are completed in between.
const FILE_SIZES: std::ops::Range<usize> = 2_000_000..6_000_000;
/// The sizes of requests: most of them succeed.
const REQUEST_SIZES: std::ops::Range<usize> = 1..700_000;
/// At most so many bytes are sent before the next kill, which comes at most so much later.
const MOST_SENT: usize = 1_500_000;
const LATEST: Duration = Duration::from_millis(20);

/// What a client has uploaded.
struct Uploaded {
    files: Vec<(TaskId, Bytes)>,
    /// How often it asked where to continue.
    resumed: usize,
    slowest_answer: Duration,
}

/// A client that uploads one file after the other.
struct Client {
    sent: Sent,
    ended: Arc<AtomicBool>,
    running: JoinHandle<Uploaded>,
}

impl Client {
    fn start(api: Api) -> Self {
        let (sent, ended) = (Sent::default(), Arc::default());
        let running = tokio::spawn(upload_files(api, sent.clone(), Arc::clone(&ended)));
        Self { sent, ended, running }
    }

    /// Waits for a random moment while it is sending.
    async fn sends(&self, random: &mut StdRng) {
        let bytes = self.sent.bytes() + random.random_range(0..MOST_SENT);
        eventually("the client sends", async || {
            assert!(!self.running.is_finished(), "the client has failed");
            (self.sent.bytes() >= bytes).then_some(())
        })
        .await;
        // A random time instead of a condition.
        tokio::time::sleep(random.random_range(Duration::ZERO..LATEST)).await;
    }

    /// Lets it complete its last file.
    async fn end(self) -> Uploaded {
        self.ended.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}

async fn upload_files(api: Api, sent: Sent, ended: Arc<AtomicBool>) -> Uploaded {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut uploaded = Uploaded { files: Vec::new(), resumed: 0, slowest_answer: Duration::ZERO };
    while !ended.load(Ordering::Relaxed) {
        let content = random_bytes(random.random(), random.random_range(FILE_SIZES));
        let mut upload = Upload::create(&api, content.clone(), &sent).await;
        let id = upload.send(0, || random.random_range(REQUEST_SIZES)).await;
        uploaded.files.push((id, content));
        uploaded.resumed += upload.resumed;
        uploaded.slowest_answer = uploaded.slowest_answer.max(upload.slowest_answer);
    }
    uploaded
}

/// Asserts that each file became one task, whatever was hit by a kill.
async fn assert_all_arrived(api: &Api, bucket: &Path, uploaded: &Uploaded, kills: usize) {
    assert!(uploaded.resumed >= kills / 2, "{} of {kills} kills were noticed", uploaded.resumed);
    assert!(uploaded.files.len() > 3, "{} files", uploaded.files.len());
    for (id, content) in &uploaded.files {
        processed(api, *id).await;
        assert_arrived(api, bucket, *id, content).await;
    }
    assert_eq!(api.tasks().await.len(), uploaded.files.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_byte_is_lost_when_the_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let line = Relay::start(vec![server.address()]).await;
    let client = Client::start(Api::new(format!("http://{}", line.address)));
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..KILLS {
        client.sends(&mut random).await;
        server.crash().await;
        line.lead_to(vec![server.address()]);
    }
    let uploaded = client.end().await;
    let bucket = data.path().join("local_storage");
    assert_all_arrived(&server.api, &bucket, &uploaded, KILLS).await;
    server.wait_for_files(bucket::wanted(&server.api).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_manager_continues_when_one_is_killed() {
    let mut fleet = Fleet::start(Services::shared()).await;
    fleet.add_worker(1).await;
    let line = Relay::start(vec![fleet.address_of_manager(0)]).await;
    let mut api = fleet.api.clone();
    api.url = format!("http://{}", line.address);
    let client = Client::start(api);
    let mut random = StdRng::seed_from_u64(SEED);
    for number in 0..KILLS_OF_A_FLEET {
        let next = fleet.add_manager().await;
        client.sends(&mut random).await;
        line.lead_to(vec![fleet.address_of_manager(next)]);
        fleet.kill_manager(number);
    }
    let uploaded = client.end().await;
    assert!(uploaded.slowest_answer < AT_ONCE, "{:?}", uploaded.slowest_answer);
    let bucket = fleet.bucket();
    assert_all_arrived(&fleet.api, bucket.as_ref(), &uploaded, KILLS_OF_A_FLEET).await;
    fleet.has_only_wanted_files().await;
}
