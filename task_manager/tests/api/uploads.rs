//! Accepted uploads are durable; all others leave nothing behind.

use std::io::{Read, Write};
use std::net::TcpStream;

use common::task::TaskState;
use diesel::prelude::*;
use diesel::sql_query;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};

use super::app::{DEADLINE, SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    an_upload_creates_a_task_with_links_and_a_queued_message,
    an_interrupted_upload_leaves_nothing,
    a_stop_ends_an_upload_with_409,
    uploading_the_same_file_resumes_the_killed_task,
    a_failed_task_is_resumed_only_from_a_checkpoint,
    a_file_over_the_limit_is_refused_and_leaves_nothing,
    files_other_than_csv_are_refused_and_leave_nothing,
    a_field_after_the_file_is_refused_and_leaves_nothing,
];

async fn an_upload_creates_a_task_with_links_and_a_queued_message(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let form = Form::new()
        .text("on_bad_row", "skip")
        .part("file", Part::text(SONGS).file_name("päth/songs.csv"));
    let path = "/v1/data_processor/upload";
    let response = app.request(Method::POST, path).multipart(form).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["retry-after"], "1");
    let accepted: common::task::AcceptedTask = response.json().await.unwrap();
    let task = accepted.task;
    assert_eq!(location, format!("/v1/tasks/{}", task.task_id));
    assert_eq!(task.links.this, location);
    assert_eq!(task.state, TaskState::Queued);
    assert_eq!(task.queue_position, Some(1));
    assert_eq!(task.file_name.as_deref(), Some("songs.csv"));
    assert_eq!(task.size, Some(SONGS.len() as u64));
    assert_eq!((task.attempt, task.failures, task.max_attempts), (0, 0, 5));
    assert!(!accepted.resumed);

    let attempt = app.next_attempt().await;
    assert_eq!(attempt.task_id, task.task_id);
    let input = attempt.input.unwrap();
    assert_eq!(input.file_name, "songs.csv");
    assert_eq!(input.sha256.len(), 64);
    let common::task::spec::TaskSpec::CsvAggregation(spec) = attempt.spec else {
        panic!("an aggregation was requested");
    };
    assert_eq!(spec.on_bad_row, common::task::spec::OnBadRow::Skip);
    assert_eq!(app.files(), [format!("raw_data/{}", task.task_id)]);
}

/// Sends the head of an upload and `sent`, without the rest of its 1,000,000 bytes.
fn begin_upload(app: &TestApp, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        stream,
        "POST /v1/data_processor/upload?file_name=cut.csv HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: text/csv\r\nContent-Length: 1000000\r\n{}\r\n",
        app.token
            .as_ref()
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default()
    )
    .unwrap();
    stream.write_all(sent).unwrap();
    stream
}

async fn an_interrupted_upload_leaves_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let stream = begin_upload(&app, SONGS.as_bytes());
    let task = eventually("the task exists", || async { app.list("").await.items.pop() }).await;
    assert_eq!(task.state, TaskState::Initializing);
    assert_eq!(task.file_name.as_deref(), Some("cut.csv"));
    drop(stream);
    eventually("the task is gone", || async { app.list("").await.items.is_empty().then_some(()) })
        .await;
    app.wait_for_files(&[]).await;
}

async fn a_stop_ends_an_upload_with_409(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut stream = begin_upload(&app, SONGS.as_bytes());
    let task = eventually("the task exists", || async { app.list("").await.items.pop() }).await;
    let (status, body) = app.interrupt(task.task_id, "stop").await;
    assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &"stopping".into()));

    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 409");
    app.wait_for_state(task.task_id, TaskState::Stopped).await;
    app.wait_for_files(&[]).await;
}

#[tokio::test]
async fn an_upload_of_a_dead_server_is_removed_with_its_lease() {
    let mut app = TestApp::start(Backend::Standalone).await;
    let id = app.upload(SONGS).await.task.task_id;
    // The state after a server was killed during the upload.
    app.sql("UPDATE tasks SET state = 'initializing', leased_until = '2099-01-01 00:00:00'");
    app.sql("DELETE FROM outbox");
    app.restart().await;
    eventually("the task is gone", || async {
        (app.get(&format!("/v1/tasks/{id}")).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    app.wait_for_files(&[]).await;
}

async fn uploading_the_same_file_resumes_the_killed_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let killed = app.task_in(TaskState::Killed).await;

    let other_parameters = app.upload_with("&on_bad_row=skip", SONGS).await;
    assert!(!other_parameters.resumed);
    let again = app.upload(SONGS).await;
    assert!(again.resumed);
    assert_eq!(again.task.task_id, killed);
    assert_eq!(again.task.state, TaskState::Queued);
    assert_eq!(app.list("").await.items.len(), 2, "the upload's own task is gone");
    let mut inputs =
        [killed, other_parameters.task.task_id].map(|id| format!("raw_data/{id}")).to_vec();
    inputs.sort();
    app.wait_for_files(&inputs).await;

    let third = app.upload(SONGS).await;
    assert!(!third.resumed, "a queued task is not resumed a second time");
}

async fn a_failed_task_is_resumed_only_from_a_checkpoint(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    app.report(&attempt, super::app::failed()).await;
    assert!(!app.upload(SONGS).await.resumed, "without a checkpoint there is nothing to resume");
    let id = attempt.task_id;
    app.sql("UPDATE tasks SET checkpoint = '{\"row\": 7}' WHERE state = 'failed'");
    let again = app.upload(SONGS).await;
    assert_eq!(
        (again.task.task_id, again.resumed_from_row),
        (id, Some(8)),
        "after the rows that it has"
    );
}

async fn a_file_over_the_limit_is_refused_and_leaves_nothing(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.upload_limit = 1_000).await;
    for body in ["x".repeat(1_001), "x".repeat(20 << 20)] {
        let path = "/v1/data_processor/upload?file_name=large.csv";
        let response = app.request(Method::POST, path).body(body).send().await.unwrap();
        let (status, body) = problem(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &"too_large".into()));
        assert!(body["detail"].as_str().unwrap().contains("1000 bytes"), "{body}");
    }
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

async fn files_other_than_csv_are_refused_and_leave_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let utf_32 = b"\xFF\xFE\0\0S\0\0\0";
    let cases: [(&[u8], &str); 3] =
        [(b"", "empty_file"), (b"PK\x03\x04rest", "not_csv"), (utf_32, "not_csv")];
    for (content, code) in cases {
        let form = Form::new().part("file", Part::bytes(content).file_name("songs.csv"));
        let path = "/v1/data_processor/upload";
        let response = app.request(Method::POST, path).multipart(form).send().await.unwrap();
        let (status, body) = problem(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &code.into()));
    }
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

async fn a_field_after_the_file_is_refused_and_leaves_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let form = Form::new()
        .part("file", Part::text(SONGS).file_name("songs.csv"))
        .text("on_bad_row", "skip");
    let path = "/v1/data_processor/upload";
    let response = app.request(Method::POST, path).multipart(form).send().await.unwrap();
    let (status, body) = problem(response).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["errors"][0]["field"], "on_bad_row");
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

/// Uploads the same file while `change` of the killed task is being committed.
async fn upload_during(change: &str) -> (TestApp, common::task::TaskId) {
    let mut app = TestApp::start(Backend::Fleet).await;
    let killed = app.task_in(TaskState::Killed).await;
    let statement = format!("UPDATE tasks SET {change} WHERE state = 'killed'");
    let mut changing = app.open_transaction(&statement);
    let path = "/v1/data_processor/upload?file_name=songs.csv";
    let uploading = tokio::spawn(app.request(Method::POST, path).body(SONGS).send());
    eventually("the upload waits for the lock", || async {
        app.database.has_waiting_statement().then_some(())
    })
    .await;
    sql_query("COMMIT").execute(&mut changing).unwrap();
    let response = uploading.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    let accepted: common::task::AcceptedTask = response.json().await.unwrap();
    assert!(!accepted.resumed);
    assert_ne!(accepted.task.task_id, killed);
    (app, accepted.task.task_id)
}

#[tokio::test]
async fn a_task_in_deletion_is_not_resumed_by_an_upload() {
    let (app, id) = upload_during("deleted = TRUE").await;
    app.wait_for_files(&[format!("raw_data/{id}")]).await;
    let tasks = app.list("").await.items;
    assert_eq!(tasks.iter().map(|task| task.task_id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn an_expiring_task_is_not_resumed_by_an_upload() {
    let (mut app, id) = upload_during("files_removed = TRUE").await;
    assert!(app.files().contains(&format!("raw_data/{id}")));
    assert_eq!(app.next_attempt().await.task_id, id);
}

#[tokio::test]
async fn an_accepted_task_survives_a_restart() {
    let mut app = TestApp::start(Backend::Standalone).await;
    let id = app.upload(SONGS).await.task.task_id;
    let lost = app.delivery().await;
    app.restart().await;
    let delivery = app.delivery().await;
    assert_eq!(delivery.task_id, id);
    assert!(delivery.dispatch > lost.dispatch, "it was queued again");
    assert!(matches!(app.claim(vec![lost]).await[0], common::report::Claim::Refused { .. }));
    app.claim_one(delivery).await;
}
