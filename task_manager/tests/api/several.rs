//! Several task managers on one database: they share all tasks, and background work happens once.

use std::time::{Duration, Instant};

use common::report::Claim;
use common::task::TaskState;
use diesel::connection::SimpleConnection;
use reqwest::{Method, StatusCode};

use super::app::{SONGS, TestApp, eventually, problem};
use super::backend::Backend;

#[tokio::test]
async fn task_managers_share_their_tasks() {
    let mut app = TestApp::start(Backend::Fleet).await;
    let id = app.upload(SONGS).await.task.task_id;
    let first = app.switch_to_another().await;
    assert_eq!(app.state(id).await, TaskState::Queued);
    let attempt = app.next_attempt().await;
    assert_eq!(attempt.task_id, id);
    app.complete(&attempt, "sums").await;
    app.switch_back(first).await;
    let path = format!("/v1/data_processor/download/{id}");
    assert_eq!(app.get(&path).await.text().await.unwrap(), "sums");
}

#[tokio::test]
async fn many_relays_publish_each_task_once() {
    let mut app = TestApp::start(Backend::Fleet).await;
    let others = [app.switch_to_another().await, app.switch_to_another().await];
    let mut accepted = Vec::new();
    for _ in 0..100 {
        accepted.push(app.upload(SONGS).await.task.task_id);
    }
    let mut delivered = Vec::new();
    for _ in 0..100 {
        delivered.push(app.delivery().await.task_id);
    }
    accepted.sort();
    delivered.sort();
    assert_eq!(delivered, accepted);
    assert!(app.is_queue_silent().await, "nothing was published twice");
    for other in others {
        other.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_lease_is_counted_once_by_many_task_managers() {
    let mut app = TestApp::start(Backend::Fleet).await;
    let others = [app.switch_to_another().await, app.switch_to_another().await];
    let mut attempts = Vec::new();
    for _ in 0..20 {
        attempts.push(app.processing_task().await);
    }
    app.sql("UPDATE tasks SET leased_until = '2000-01-01 00:00:00'");
    for attempt in attempts {
        let task = eventually("the lease is lost", || async {
            Some(app.task(attempt.task_id).await).filter(|task| task.state == TaskState::Queued)
        })
        .await;
        assert_eq!(task.failures, 1);
    }
    for other in others {
        other.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_task_is_claimed_by_one_of_many_workers() {
    let mut app = TestApp::start(Backend::Fleet).await;
    app.upload(SONGS).await;
    let delivery = app.delivery().await;
    // Each claims as a separate worker, concurrently.
    let claims = futures_util::future::join_all((0..16).map(|_| app.claim_as_stranger(delivery)));
    let claimed = claims.await.iter().filter(|claim| matches!(claim, Claim::Attempt(_))).count();
    assert_eq!(claimed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_stays_responsive_while_the_database_is_slow() {
    let app = TestApp::start(Backend::Fleet).await;
    let mut locker = app.database_connection();
    // Every reader of tasks waits.
    locker.batch_execute("LOCK TABLES tasks WRITE").unwrap();
    let begin = Instant::now();
    let readers = (0..100).map(|_| {
        let request = app.request(Method::GET, "/v1/tasks");
        tokio::spawn(async move { request.send().await.unwrap() })
    });
    let mut readers: Vec<_> = readers.collect();
    let mut refused = 0;
    while refused < 80 {
        let (answer, _, others) = futures_util::future::select_all(readers).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(problem(answer).await.1["code"], "overloaded");
        (readers, refused) = (others, refused + 1);
    }
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    for path in ["/healthz", "/", "/openapi.json"] {
        let begin = Instant::now();
        let answer = app.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(begin.elapsed() < Duration::from_secs(1), "{path}: {:?}", begin.elapsed());
    }
    locker.batch_execute("UNLOCK TABLES").unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    eventually("tasks are listed again", || async {
        (app.get("/v1/tasks").await.status() == StatusCode::OK).then_some(())
    })
    .await;
}
