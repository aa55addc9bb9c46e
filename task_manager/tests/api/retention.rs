//! Removal of expired tasks, and of files without a task.

use std::time::Duration;

use common::report::Outcome;
use common::task::{TaskId, TaskState};
use reqwest::StatusCode;

use super::app::{SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    files_expire_before_their_task,
    an_expired_task_is_not_resumed,
    only_files_without_a_task_are_swept,
    a_failed_removal_delays_no_other,
    a_late_repeat_of_a_report_deletes_no_result,
];

/// Sweeps every second.
async fn quick(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| config.sweep_interval = Duration::from_secs(1)).await
}

async fn files_expire_before_their_task(backend: Backend) {
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

async fn only_files_without_a_task_are_swept(backend: Backend) {
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

async fn a_failed_removal_delays_no_other(backend: Backend) {
    let mut app = quick(backend).await;
    let bucket = app.folder.path().join("local_storage");
    // A folder instead of a file cannot be deleted, and a link to itself cannot be listed.
    let undeletable = |id: TaskId| {
        std::fs::remove_file(bucket.join(format!("raw_data/{id}"))).unwrap();
        std::fs::create_dir_all(bucket.join(format!("raw_data/{id}/in_the_way"))).unwrap();
    };
    let endless = |id: TaskId| {
        let folder = bucket.join(format!("processed_data/{id}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("endless")).unwrap();
    };
    let [deleted, expired, stopped] = [
        app.task_in(TaskState::Processed).await,
        app.task_in(TaskState::Processed).await,
        app.task_in(TaskState::Killed).await,
    ];
    undeletable(deleted);
    undeletable(expired);
    endless(stopped);
    let delete = async |app: &TestApp, id: TaskId| {
        let request = app.request(reqwest::Method::DELETE, &format!("/v1/tasks/{id}"));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    };
    delete(&app, deleted).await;
    app.interrupt(stopped, "stop").await;
    let week_ago = app.time(chrono::TimeDelta::days(-8));
    let hex = |id: TaskId| id.0.simple().to_string();
    let expire = |app: &TestApp, id: TaskId| {
        app.sql(&format!("UPDATE tasks SET finished_at = {week_ago} WHERE id = X'{}'", hex(id)));
    };
    expire(&app, expired);
    let is_marked = |app: &TestApp, id: TaskId| {
        let id = hex(id);
        app.sql(&format!("UPDATE tasks SET alone = FALSE WHERE id = X'{id}' AND files_removed"))
            == 1
    };
    eventually("it is expired", || async { is_marked(&app, expired).then_some(()) }).await;

    // Every pass handles the items after them.
    for _ in 0..2 {
        let later = app.task_in(TaskState::Processed).await;
        delete(&app, later).await;
        eventually("the deleted task is removed", || async {
            let id = hex(later);
            (app.sql(&format!("UPDATE tasks SET alone = FALSE WHERE id = X'{id}'")) == 0)
                .then_some(())
        })
        .await;
        let later = app.processing_task().await;
        app.write_result(&later, "to be rolled back").await;
        app.interrupt(later.task_id, "stop").await;
        app.wait_for_state(later.task_id, TaskState::Stopped).await;
        let later = app.task_in(TaskState::Processed).await;
        expire(&app, later);
        eventually("its files are gone", || async {
            (!app.files().iter().any(|file| file.contains(&later.to_string()))).then_some(())
        })
        .await;
        let stray = TaskId::new();
        std::fs::create_dir(bucket.join(format!("processed_data/{stray}"))).unwrap();
        std::fs::write(bucket.join(format!("processed_data/{stray}/1.csv")), "stray").unwrap();
        eventually("strays are swept", || async {
            (!bucket.join(format!("processed_data/{stray}/1.csv")).exists()).then_some(())
        })
        .await;
        let past = app.time(chrono::TimeDelta::days(-2));
        app.sql(&format!(
            "INSERT INTO idempotency_keys (id, holder, locked_until, created_at) VALUES ('old', \
             X'00000000000040008000000000000001', {past}, {past})"
        ));
        eventually("old keys are swept", || async {
            (app.sql("UPDATE idempotency_keys SET answer = NULL WHERE id = 'old'") == 0)
                .then_some(())
        })
        .await;
    }
    assert_eq!(app.state(stopped).await, TaskState::Stopping);
    // Once the obstacles are removed, the others are handled too.
    std::fs::remove_file(bucket.join(format!("processed_data/{stopped}/endless"))).unwrap();
    app.wait_for_state(stopped, TaskState::Stopped).await;
}

async fn a_late_repeat_of_a_report_deletes_no_result(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let lost = app.processing_task().await;
    app.complete(&attempt, "sums").await;
    app.write_result(&lost, "of a lost attempt").await;
    // Retention has removed the history that identifies repeats.
    app.sql("DELETE FROM task_attempts");
    app.sql("UPDATE tasks SET attempt = 2 WHERE state = 'processing'");
    assert_eq!(app.report(&attempt, super::app::completed(4)).await, Outcome::LeaseLost);
    assert_eq!(app.report(&lost, super::app::completed(4)).await, Outcome::LeaseLost);
    let (id, lost) = (attempt.task_id, lost.task_id);
    app.wait_for_files(&[
        format!("processed_data/{id}/1.csv"),
        format!("raw_data/{}", id.min(lost)),
        format!("raw_data/{}", id.max(lost)),
    ])
    .await;
    let path = format!("/v1/data_processor/download/{id}");
    assert_eq!(app.get(&path).await.text().await.unwrap(), "sums");
}
