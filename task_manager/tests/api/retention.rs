//! What is past its time goes, and what no task knows.

use std::time::Duration;

use common::task::{TaskId, TaskState};
use reqwest::StatusCode;

use super::app::{SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    files_go_after_their_time_and_the_task_later,
    an_expired_task_is_not_resumed,
    files_that_no_task_knows_are_swept_and_no_others,
];

/// Looks for what is to go every second.
async fn quick(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| config.sweep_interval = Duration::from_secs(1)).await
}

async fn files_go_after_their_time_and_the_task_later(backend: Backend) {
    let mut app = quick(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    let young = app.task_in(TaskState::Processed).await;
    let young_files = [format!("processed_data/{young}/1.csv"), format!("raw_data/{young}")];
    let hex = id.0.simple().to_string();
    let ended = |days: i64| {
        let time = app.time(chrono::TimeDelta::days(-days));
        app.sql(&format!("UPDATE tasks SET finished_at = {time} WHERE hex(id) = upper('{hex}')"));
    };
    ended(8);
    app.wait_for_files(&young_files).await;
    let (status, body) = problem(app.get(&format!("/v1/data_processor/download/{id}")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &"expired".into()));
    assert_eq!(app.task(id).await.links.download, None);
    ended(91);
    eventually("the task is gone", || async {
        (app.get(&format!("/v1/tasks/{id}")).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    assert_eq!(app.state(young).await, TaskState::Processed);
}

async fn an_expired_task_is_not_resumed(backend: Backend) {
    let mut app = quick(backend).await;
    let id = app.task_in(TaskState::Killed).await;
    app.sql("UPDATE tasks SET files_removed = TRUE");
    let (status, body) = app.interrupt(id, "resume").await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &"expired".into()));
    assert!(!app.upload(SONGS).await.resumed);
}

async fn files_that_no_task_knows_are_swept_and_no_others(backend: Backend) {
    let mut app = quick(backend).await;
    let done = app.task_in(TaskState::Processed).await;
    let running = app.processing_task().await;
    app.write_result(&running, "not reported yet").await;
    let bucket = app.folder.path().join("local_storage");
    let stray = TaskId::new();
    std::fs::write(bucket.join(format!("raw_data/{stray}")), "stray").unwrap();
    std::fs::create_dir(bucket.join(format!("processed_data/{stray}"))).unwrap();
    std::fs::write(bucket.join(format!("processed_data/{stray}/1.csv")), "stray").unwrap();
    std::fs::write(bucket.join(format!("processed_data/{done}/9.csv")), "stray").unwrap();
    let mut expected = vec![
        format!("processed_data/{done}/1.csv"),
        format!("processed_data/{}/1.csv", running.task_id),
        format!("raw_data/{done}"),
        format!("raw_data/{}", running.task_id),
    ];
    expected.sort();
    app.wait_for_files(&expected).await;
}
