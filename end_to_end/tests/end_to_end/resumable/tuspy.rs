//! The example client, which uses tuspy.

use std::path::Path;
use std::process::Command;

use super::cuts::breaking_line;
use super::{assert_arrived, random_bytes};
use crate::end_to_end::standalone::Standalone;

/// The example waits for a second whenever its connection breaks.
const SIZE: usize = 7_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs tuspy: make test-docs"]
async fn tuspy_uploads_over_breaking_connections() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let line = breaking_line(vec![server.address()]).await;
    let content = random_bytes(2, SIZE);
    let file = data.path().join("sent.bin");
    std::fs::write(&file, &content).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/upload.py");
    let mut python = Command::new("python3");
    python.arg(example).arg(file).env("SERVER", format!("http://{}", line.address));
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [task] = &server.api.tasks().await[..] else { panic!("one upload makes one task") };
    assert_arrived(&server.api, &data.path().join("local_storage"), task.task_id, &content).await;
}
