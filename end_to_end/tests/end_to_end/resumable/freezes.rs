//! Task managers that freeze while they receive uploads, whose clients continue at another one. A
//! frozen one thaws with an open request, and must not disturb what its successor did.

use std::time::Duration;

use bytes::Bytes;
use common::task::TaskState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::upload::{Sent, Upload};
use super::{AT_ONCE, assert_arrived, random_bytes};
use crate::end_to_end::api::{Api, eventually};
use crate::end_to_end::fleet::Fleet;
use crate::end_to_end::fleet::services::Services;

/// The numbers of the task managers.
const FREEZES: usize = 0;
const HEALTHY: usize = 1;

const SIZE: usize = 3_000_000;
/// Another seed results in other files and other moments.
const SEED: u64 = 11;
const ROUNDS: u64 = 6;

/// An upload to the task manager that will freeze.
struct Frozen {
    fleet: Fleet,
    /// A client of the other one.
    api: Api,
    random: StdRng,
}

impl Frozen {
    async fn prepare() -> Self {
        let mut fleet = Fleet::start(Services::shared()).await;
        fleet.add_manager().await;
        let healthy = fleet.address_of_manager(HEALTHY);
        fleet.add_worker_by(1, healthy).await;
        let api = fleet.api_of_manager(HEALTHY).await;
        Self { fleet, api, random: StdRng::seed_from_u64(SEED) }
    }

    /// Creates an upload, and begins to send all of it in one request.
    async fn begin(&self, content: &Bytes) -> (Upload, Request) {
        let upload = Upload::create(&self.api, content.clone(), &Sent::default()).await;
        let address = self.fleet.address_of_manager(FREEZES);
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
             Upload-Offset: 0\r\nContent-Length: {}\r\n\r\n",
            upload.path(),
            self.api.token(),
            content.len()
        );
        let mut request = Request { stream: TcpStream::connect(address).await.unwrap() };
        request.send(head.as_bytes()).await;
        (upload, request)
    }

    /// Waits until the server has so many bytes of an upload.
    async fn receives(&self, upload: &Upload, bytes: usize) {
        eventually("the bytes arrive", async || {
            let progress = self.api.task(upload.id()).await.progress?;
            (progress.done == bytes as u64).then_some(())
        })
        .await;
    }

    fn signal(&self, name: &str) {
        self.fleet.signal_manager(FREEZES, name);
    }

    async fn thaws_after(&self, moment: Duration) {
        // A random time instead of a condition.
        tokio::time::sleep(moment).await;
        self.signal("CONT");
    }

    /// Asserts that the file is the task's, alone and complete.
    async fn assert_arrived(&self, upload: &Upload, content: &Bytes) {
        self.api.wait_for_state(upload.id(), TaskState::Processed).await;
        let bucket = self.fleet.bucket();
        assert_arrived(&self.api, bucket.as_ref(), upload.id(), content).await;
        let has_task = async || self.api.tasks().await.len();
        let files = || self.fleet.sql("SELECT COUNT(*) FROM uploads").parse::<usize>().unwrap();
        assert_eq!(has_task().await, files());
        self.fleet.has_only_wanted_files().await;
    }
}

/// A request that the test sends piece by piece.
struct Request {
    stream: TcpStream,
}

impl Request {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends the rest, unless the server closes the connection; returns the status, if any.
    async fn end(mut self, rest: Vec<u8>) -> Option<u16> {
        let _ = self.stream.write_all(&rest).await;
        let mut answer = [0; 12];
        self.stream.read_exact(&mut answer).await.ok()?;
        let answer = str::from_utf8(&answer).unwrap();
        answer.strip_prefix("HTTP/1.1 ").unwrap().parse().ok()
    }
}

/// Other bytes than those of the file, so that they would be found in it.
fn others(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_manager_continues_when_one_freezes() {
    let frozen = Frozen::prepare().await;
    let content = random_bytes(SEED, SIZE);
    let (mut upload, mut request) = frozen.begin(&content).await;
    let part = SIZE / 3;
    request.send(&content[..part]).await;
    frozen.receives(&upload, part).await;
    frozen.signal("STOP");
    let offset = upload.offset().await;
    assert!(upload.slowest_answer < AT_ONCE, "{:?}", upload.slowest_answer);
    upload.send(offset, || SIZE / 4).await;
    frozen.signal("CONT");
    let status = request.end(others(&content[part..])).await;
    assert!(status.is_none_or(|status| status >= 400), "{status:?}");
    frozen.assert_arrived(&upload, &content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_thaws_while_another_one_continues_does_no_harm() {
    let mut frozen = Frozen::prepare().await;
    for round in 0..ROUNDS {
        let content = random_bytes(SEED + round, SIZE);
        let (mut upload, mut request) = frozen.begin(&content).await;
        let part = SIZE - 100_000;
        request.send(&content[..part]).await;
        frozen.receives(&upload, part).await;
        frozen.signal("STOP");
        // It finds the rest when it thaws, and could complete the upload at once.
        let request = tokio::spawn(request.end(others(&content[part..])));
        let offset = upload.offset().await;
        assert!(upload.slowest_answer < AT_ONCE, "{:?}", upload.slowest_answer);
        // Mostly between two requests of the other one, sometimes during or after its completion.
        let moment = frozen.random.random_range(0..250);
        let thaw = frozen.thaws_after(Duration::from_millis(moment));
        tokio::join!(upload.send(offset, || SIZE / 8), thaw);
        let status = request.await.unwrap();
        assert!(status.is_none_or(|status| status >= 400), "{status:?}");
        frozen.assert_arrived(&upload, &content).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_freezes_during_the_completion_makes_one_task() {
    let mut frozen = Frozen::prepare().await;
    for round in 0..ROUNDS {
        let content = random_bytes(SEED + round, SIZE);
        let (mut upload, mut request) = frozen.begin(&content).await;
        request.send(&content).await;
        // A random time instead of a condition.
        let moment = frozen.random.random_range(0..100);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        frozen.signal("STOP");
        let request = tokio::spawn(request.end(Vec::new()));
        let moment = frozen.random.random_range(0..3_000);
        let thaw = frozen.thaws_after(Duration::from_millis(moment));
        let completion = async {
            let offset = upload.offset().await;
            upload.send(offset, || SIZE).await
        };
        tokio::join!(completion, thaw);
        request.await.unwrap();
        frozen.assert_arrived(&upload, &content).await;
    }
}
