//! What is past its time goes, and what no task knows.

use std::time::Duration;

use common::task::{TaskId, TaskState};
use reqwest::StatusCode;

use super::app::{SONGS, TestApp, eventually, problem};

/// Looks for what is to go every second.
async fn quick() -> TestApp {
    TestApp::start_with(|config| config.sweep_interval = Duration::from_secs(1)).await
}

#[tokio::test]
async fn files_go_after_their_time_and_the_task_later() {
    let mut app = quick().await;
    let id = app.task_in(TaskState::Processed).await;
    let young = app.task_in(TaskState::Processed).await;
    let young_files = [format!("processed_data/{young}/1.csv"), format!("raw_data/{young}")];
    let hex = id.0.simple().to_string();
    let ended = |ago: &str| {
        app.sql(&format!(
            "UPDATE tasks SET finished_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '{ago}') \
             WHERE hex(id) = upper('{hex}')"
        ));
    };
    ended("-8 days");
    app.wait_for_files(&young_files).await;
    let (status, body) = problem(app.get(&format!("/v1/data_processor/download/{id}")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &"expired".into()));
    assert_eq!(app.task(id).await.links.download, None);
    ended("-91 days");
    eventually("the task is gone", || async {
        (app.get(&format!("/v1/tasks/{id}")).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    assert_eq!(app.state(young).await, TaskState::Processed);
}

#[tokio::test]
async fn an_expired_task_is_not_resumed() {
    let mut app = quick().await;
    let id = app.task_in(TaskState::Killed).await;
    app.sql("UPDATE tasks SET finished_at = '2020-01-01 00:00:00', files_removed = TRUE");
    app.sql("UPDATE tasks SET finished_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-8 days')");
    let (status, body) = app.interrupt(id, "resume").await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &"expired".into()));
    assert!(!app.upload(SONGS).await.resumed);
}

#[tokio::test]
async fn files_that_no_task_knows_are_swept_and_no_others() {
    let mut app = quick().await;
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
