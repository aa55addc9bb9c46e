//! A silent worker loses its task, and cannot harm it later.

use common::report::{Attempt, Event, Outcome};
use common::task::TaskState;

use super::app::{TestApp, completed, heartbeat};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_lost_lease_counts_as_a_failure_and_the_task_is_requeued,
    a_task_that_lost_leases_repeatedly_runs_exclusively,
    an_error_before_a_lost_lease_does_not_make_a_task_exclusive,
    a_returned_exclusive_task_waits,
    heartbeats_keep_a_lease,
    a_task_that_loses_every_worker_fails_with_a_reason,
];

/// Lets all leases expire.
fn expire(app: &TestApp) {
    app.sql("UPDATE tasks SET leased_until = '2000-01-01 00:00:00' WHERE leased_until IS NOT NULL");
}

async fn a_lost_lease_counts_as_a_failure_and_the_task_is_requeued(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let lost = app.processing_task().await;
    expire(&app);
    let next = app.next_attempt().await;
    assert_eq!((next.task_id, next.attempt, next.exclusive), (lost.task_id, 2, false));
    assert_eq!(app.task(next.task_id).await.failures, 1);

    assert_eq!(app.report(&lost, heartbeat()).await, Outcome::LeaseLost);
    assert_eq!(app.complete(&lost, "from the dead").await, Outcome::LeaseLost);
    assert_eq!(app.complete(&next, "from the living").await, Outcome::Accepted);
    let path = format!("/v1/data_processor/download/{}", next.task_id);
    assert_eq!(app.get(&path).await.text().await.unwrap(), "from the living");
    let result = format!("processed_data/{}/2.csv", next.task_id);
    app.wait_for_files(&[result, format!("raw_data/{}", next.task_id)]).await;
}

async fn a_task_that_lost_leases_repeatedly_runs_exclusively(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.processing_task().await;
    expire(&app);
    let second = app.next_attempt().await;
    expire(&app);
    let third = app.next_attempt().await;
    assert_eq!((third.task_id, third.attempt, third.exclusive), (second.task_id, 3, true));
    // It stays exclusive until it has succeeded or is resumed.
    let error = Event::Retry {
        after: Some(0.0),
        checkpoint: None,
        reason: Some("no disk".into()),
        waits_for: None,
    };
    assert_eq!(app.report(&third, error).await, Outcome::Accepted);
    let fourth = app.next_attempt().await;
    assert!(fourth.exclusive);
    assert_eq!(app.task(fourth.task_id).await.failures, 3);
    app.interrupt(fourth.task_id, "kill").await;
    app.interrupt(fourth.task_id, "resume").await;
    let resumed = app.next_attempt().await;
    assert!(!resumed.exclusive);
}

async fn an_error_before_a_lost_lease_does_not_make_a_task_exclusive(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = app.processing_task().await;
    let error = Event::Retry {
        after: Some(0.0),
        checkpoint: None,
        reason: Some("no disk".into()),
        waits_for: None,
    };
    assert_eq!(app.report(&first, error).await, Outcome::Accepted);
    app.next_attempt().await;
    expire(&app);
    let third = app.next_attempt().await;
    assert_eq!((third.attempt, third.exclusive), (3, false));
    assert_eq!(app.task(third.task_id).await.failures, 2);
}

async fn a_returned_exclusive_task_waits(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    // The delay of the fifth attempt is at least 8 s, which is long on any machine.
    let attempt = Attempt { attempt: 5, ..app.processing_task().await };
    app.sql("UPDATE tasks SET alone = TRUE, attempt = 5");
    let given_back = Event::Released { checkpoint: None };
    assert_eq!(app.report(&attempt, given_back).await, Outcome::Accepted);
    assert!(app.is_queue_silent().await, "others run first");
    app.sql("UPDATE outbox SET due_at = '2000-01-01 00:00:00'");
    let next = app.next_attempt().await;
    assert_eq!((next.task_id, next.attempt, next.exclusive), (attempt.task_id, 6, true));
    assert_eq!(app.task(next.task_id).await.failures, 0);
}

async fn heartbeats_keep_a_lease(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    // Half a second before the end of the lease.
    let soon = app.time(chrono::TimeDelta::milliseconds(500));
    app.sql(&format!("UPDATE tasks SET leased_until = {soon}"));
    assert_eq!(app.report(&attempt, heartbeat()).await, Outcome::Continue);
    assert!(app.is_queue_silent().await);
    // A fixed wait: nothing must happen within a second after the former end of the lease.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
}

async fn a_task_that_loses_every_worker_fails_with_a_reason(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let mut attempt = app.processing_task().await;
    app.sql("UPDATE tasks SET failures = 3");
    expire(&app);
    // The backoff of the fourth failure would take seconds.
    super::app::eventually("it is queued again", || async {
        (app.state(attempt.task_id).await == TaskState::Queued).then_some(())
    })
    .await;
    app.sql("UPDATE outbox SET due_at = '2000-01-01 00:00:00'");
    attempt = app.next_attempt().await;
    expire(&app);
    let task = app.wait_for_state(attempt.task_id, TaskState::Failed).await;
    assert_eq!(task.failures, 5);
    assert_eq!(task.error.unwrap().code, "worker_lost");
    assert_eq!(app.report(&attempt, completed(0)).await, Outcome::LeaseLost);
}

#[tokio::test]
async fn a_restart_of_the_only_server_ends_all_leases() {
    let mut app = TestApp::start(Backend::Standalone).await;
    let lost = app.processing_task().await;
    app.restart().await;
    let next = app.next_attempt().await;
    assert_eq!((next.task_id, next.attempt), (lost.task_id, 2));
    let event = Event::Heartbeat { progress: None };
    assert_eq!(app.report(&lost, event).await, Outcome::LeaseLost);
}
