//! A graceful shutdown loses no task and counts no failure.

use std::time::Duration;

use common::task::TaskState;

use super::bucket;
use super::long_task::start_long_task;
use super::standalone::Standalone;

#[tokio::test]
async fn a_task_resumes_after_a_graceful_shutdown_without_a_failure() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("DATA_PROCESSOR_DRAIN_TIMEOUT", "100ms")];
    let mut server = Standalone::start_with(data.path(), &settings).await;
    let (id, plays) = start_long_task(&server.api).await;
    let status = server.terminate(Duration::from_secs(15)).await;
    assert_eq!(status.code(), Some(0));

    server.start_again().await;
    assert_eq!(server.api.result(id).await, plays.sums());
    let task = server.api.task(id).await;
    assert_eq!((task.attempt, task.failures), (2, 0));
    server.wait_for_files(bucket::wanted(&server.api).await).await;
}

#[tokio::test]
async fn a_drain_waits_for_short_tasks() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("DATA_PROCESSOR_DRAIN_TIMEOUT", "5m")];
    let mut server = Standalone::start_with(data.path(), &settings).await;
    let (id, plays) = start_long_task(&server.api).await;
    let status = server.terminate(Duration::from_secs(120)).await;
    assert_eq!(status.code(), Some(0));

    server.start_again().await;
    let task = server.api.task(id).await;
    assert_eq!((task.state, task.attempt), (TaskState::Processed, 1));
    assert_eq!(server.api.result(id).await, plays.sums());
}
