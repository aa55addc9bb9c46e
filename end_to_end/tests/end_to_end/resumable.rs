//! Resumable uploads, whose clients lose their connections and whose servers die or freeze.

mod cuts;
mod freezes;
mod kills;
mod tuspy;
pub mod upload;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use common::task::{TaskId, TaskState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::api::Api;

/// How long a client waits for an upload that a dead or frozen task manager was receiving.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Bytes without a pattern.
pub fn random_bytes(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// Asserts that the file of a processed task is the one that was sent: as the task saw it, and in
/// the bucket.
async fn assert_arrived(api: &Api, bucket: &Path, id: TaskId, content: &[u8]) {
    let task = api.task(id).await;
    assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
    let result = task.result.unwrap();
    assert_eq!(result["size"], content.len());
    assert_eq!(result["sha256"], hex::encode(Sha256::digest(content)));
    let stored = std::fs::read(bucket.join(format!("raw_data/{id}"))).unwrap();
    assert!(stored == content, "the bytes in the bucket are those that were sent");
}
