//! A load continues at its checkpoint: after a resume, and after another upload of the same file.

use std::time::Duration;

use common::report::Attempt;
use common::task::TaskState;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::app::{TestApp, failed};
use super::backend::{Backend, backend_tests};
use super::loads::{
    PEOPLE, checkpoint, completed, load, loaded, row_numbers, rows_in_database, upload,
};

backend_tests![
    a_killed_load_keeps_its_rows_and_resumes_after_them,
    the_same_file_resumes_after_a_kill_or_failure,
    another_file_or_parameter_or_user_starts_from_the_beginning,
    processed_and_running_tasks_are_not_resumed,
    concurrent_uploads_of_a_file_resume_a_task_once,
    rows_outlive_the_uploaded_file,
];

/// The rest of a load, and its end.
async fn finish(app: &mut TestApp, from: u64, to: u64) -> Attempt {
    let attempt = app.next_attempt().await;
    assert_eq!(attempt.checkpoint, Some(json!(checkpoint(from))));
    load(app, &attempt, from, to).await;
    app.report(&attempt, completed()).await;
    let task = app.task(attempt.task_id).await;
    assert_eq!(
        (task.state, &task.result.unwrap()["rows_loaded"]),
        (TaskState::Processed, &json!(to))
    );
    assert_eq!(row_numbers(app, attempt.task_id).await, (1..=to).collect::<Vec<_>>());
    attempt
}

async fn a_killed_load_keeps_its_rows_and_resumes_after_them(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = loaded(&mut app, 30).await.task_id;
    let (status, task) = app.interrupt(id, "kill").await;
    assert_eq!((status, &task["result"]["rows_loaded"]), (StatusCode::OK, &json!(30)));
    assert_eq!(row_numbers(&app, id).await.len(), 30);
    let (status, resumed) = app.interrupt(id, "resume").await;
    assert_eq!((status, &resumed["state"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(resumed["resumed_from_row"], 31);
    assert_eq!(app.interrupt(id, "resume").await.1["resumed_from_row"], 31, "repeated");
    assert_eq!(finish(&mut app, 30, 50).await.task_id, id);
}

async fn the_same_file_resumes_after_a_kill_or_failure(backend: Backend) {
    for state in [TaskState::Killed, TaskState::Failed] {
        let mut app = TestApp::start(backend).await;
        let attempt = loaded(&mut app, 30).await;
        let id = attempt.task_id;
        match state {
            TaskState::Killed => drop(app.interrupt(id, "kill").await),
            _ => drop(app.report(&attempt, failed()).await),
        }
        assert_eq!(app.state(id).await, state);
        // The name does not matter; the last one counts.
        let again = upload(&app, "&file_name=copy.csv", PEOPLE).await;
        assert_eq!((again.task.task_id, again.resumed), (id, true), "{state}");
        assert_eq!(again.resumed_from_row, Some(31));
        assert_eq!(again.task.state, TaskState::Queued);
        assert_eq!(app.list("").await.items.len(), 1, "the upload's own task is gone");
        finish(&mut app, 30, 50).await;
    }
}

async fn another_file_or_parameter_or_user_starts_from_the_beginning(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = loaded(&mut app, 30).await.task_id;
    app.interrupt(id, "kill").await;
    let other_file = upload(&app, "", "name,email\nBob,bob@example.org\n").await;
    let other_parameters = upload(&app, "&on_bad_row=fail", PEOPLE).await;
    let other_kind = app.upload(PEOPLE).await;
    let mut all = vec![other_file, other_parameters, other_kind];
    app.sql("UPDATE tasks SET owner = X'00000000000000000000000000000001' WHERE state = 'killed'");
    all.push(upload(&app, "", PEOPLE).await);
    for other in all {
        assert!(!other.resumed && other.task.task_id != id);
        assert_eq!(other.resumed_from_row, None);
    }
    assert_eq!(rows_in_database(&app), 30);
}

async fn processed_and_running_tasks_are_not_resumed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let running = loaded(&mut app, 30).await;
    let second = upload(&app, "", PEOPLE).await;
    assert!(!second.resumed, "the first one is processing");
    assert!(!upload(&app, "", PEOPLE).await.resumed, "the second one is queued");
    app.report(&running, completed()).await;
    assert!(!upload(&app, "", PEOPLE).await.resumed, "the first one is processed");

    let attempt = app.next_attempt().await;
    app.report(&attempt, failed()).await;
    assert!(!upload(&app, "", PEOPLE).await.resumed, "it failed before its first row");
    app.interrupt(attempt.task_id, "stop").await;
    app.wait_for_state(attempt.task_id, TaskState::Stopped).await;
    assert!(!upload(&app, "", PEOPLE).await.resumed, "it is stopped");
    assert_eq!(row_numbers(&app, running.task_id).await.len(), 30);

    let attempt = app.next_attempt().await;
    app.interrupt(attempt.task_id, "kill").await;
    let again = upload(&app, "", PEOPLE).await;
    assert_eq!((again.task.task_id, again.resumed), (attempt.task_id, true));
    assert_eq!(again.resumed_from_row, None, "it was killed before its first row");
}

async fn concurrent_uploads_of_a_file_resume_a_task_once(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = loaded(&mut app, 30).await.task_id;
    app.interrupt(id, "kill").await;
    let uploads = futures_util::future::join_all((0..6).map(|_| upload(&app, "", PEOPLE))).await;
    let (resumed, new): (Vec<_>, Vec<_>) = uploads.into_iter().partition(|upload| upload.resumed);
    assert_eq!((resumed.len(), new.len()), (1, 5));
    assert_eq!((resumed[0].task.task_id, resumed[0].resumed_from_row), (id, Some(31)));
    assert_eq!(app.list("").await.items.len(), 6);
}

async fn rows_outlive_the_uploaded_file(backend: Backend) {
    let sweeping = |config: &mut task_manager::config::Config| {
        config.sweep_interval = Duration::from_secs(1);
    };
    let mut app = TestApp::start_with(backend, sweeping).await;
    let killed = loaded(&mut app, 30).await.task_id;
    app.interrupt(killed, "kill").await;
    let empty = upload(&app, "&on_bad_row=fail", PEOPLE).await.task.task_id;
    app.interrupt(empty, "kill").await;
    for days in [8, 91] {
        let time = app.time(chrono::TimeDelta::days(-days));
        app.sql(&format!("UPDATE tasks SET finished_at = {time}"));
        app.wait_for_files(&[]).await;
    }
    super::app::eventually("the task without rows is gone", || async {
        let status = app.get(&format!("/v1/tasks/{empty}")).await.status();
        (status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    let (status, body): (_, Value) = app.interrupt(killed, "resume").await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &json!("expired")));
    assert_eq!(row_numbers(&app, killed).await.len(), 30);
    assert_eq!(app.interrupt(killed, "stop").await.0, StatusCode::ACCEPTED);
    app.wait_for_state(killed, TaskState::Stopped).await;
    assert_eq!(rows_in_database(&app), 0);
}
