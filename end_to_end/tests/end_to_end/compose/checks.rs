//! Checks after all faults of containers.

use super::stack::{Stack, docker};
use crate::end_to_end::api::{Api, eventually};
use crate::end_to_end::bucket;
use crate::end_to_end::fleet::load::Load;

/// Checks that every task was completed once and with the correct result, and that queues, outbox
/// and bucket contain nothing else.
pub async fn everything_is_right(stack: &Stack, api: &Api, load: &Load) {
    load.results_are_right(api).await;
    let count = |query: &str| stack.sql(query).parse::<u64>().unwrap();
    // Some more were accepted although their answers were lost: they end like all others.
    eventually("every task is processed", async || {
        let others = "SELECT COUNT(*) FROM tasks WHERE state <> 'processed'";
        (count(others) == 0).then_some(())
    })
    .await;
    let not_once = "SELECT COUNT(*) FROM tasks WHERE 1 <> (SELECT COUNT(*) FROM task_attempts \
                    WHERE task_id = tasks.id AND outcome = 'completed')";
    assert_eq!(count(not_once), 0, "every task is completed once");
    eventually("queues and outbox are empty", async || {
        let messages = stack.queues(&["messages"]);
        assert!(!messages.is_empty());
        let is_empty = messages.iter().all(|count| count == "0");
        (is_empty && count("SELECT COUNT(*) FROM outbox") == 0).then_some(())
    })
    .await;
    eventually("the bucket contains only the expected files", async || {
        (stack.files() == bucket::wanted(api).await).then_some(())
    })
    .await;
}

/// Waits until the health check of a container succeeds.
pub async fn is_healthy(container: &str) {
    eventually("the container is healthy", async || {
        let health = docker(&["inspect", "--format", "{{.State.Health.Status}}", container]);
        (health == "healthy").then_some(())
    })
    .await;
}
