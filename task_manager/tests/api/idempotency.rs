//! `Idempotency-Key`: a request takes effect once, and repeats replay its answer.

use std::io::{Read, Write};
use std::net::TcpStream;

use common::task::TaskState;
use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{DEADLINE, PASSWORD, SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    two_hundred_concurrent_requests_create_one_task,
    a_repeated_upload_replays_its_answer,
    a_key_with_other_content_is_refused,
    a_key_is_scoped_to_its_user_and_path,
    repeats_are_409_while_a_request_is_in_progress,
    the_first_holder_of_an_expired_lock_commits_nothing,
    an_error_frees_the_key,
    an_answer_is_replayed_for_a_day,
    a_repeated_sign_up_replays_its_answer,
    an_invalid_key_is_refused,
    a_restart_in_mid_request_blocks_no_repeat,
];

const UPLOAD: &str = "/v1/data_processor/upload";
const KEY: &str = "Idempotency-Key";

fn raw(app: &TestApp, key: &str, content: &'static str) -> RequestBuilder {
    let request = app.request(Method::POST, &format!("{UPLOAD}?file_name=songs.csv"));
    request.header(KEY, key).body(content)
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response: Response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn accepted(request: RequestBuilder) -> Value {
    let (status, body) = send(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body
}

async fn count(app: &TestApp) -> usize {
    app.list("?page_size=1000").await.items.len()
}

async fn two_hundred_concurrent_requests_create_one_task(backend: Backend) {
    let app = TestApp::start(backend).await;
    let answers = join_all((0..200).map(|_| send(raw(&app, "once", SONGS)))).await;
    let mut ids = Vec::new();
    for (status, body) in answers {
        match status {
            StatusCode::ACCEPTED => ids.push(body["task_id"].clone()),
            StatusCode::CONFLICT => assert_eq!(body["code"], "request_under_way"),
            status => panic!("{status}: {body}"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&app).await, 1);
    assert_eq!(accepted(raw(&app, "once", SONGS)).await["task_id"], ids[0]);
    app.wait_for_files(&[format!("raw_data/{}", ids[0].as_str().unwrap())]).await;
}

async fn a_repeated_upload_replays_its_answer(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let form = |app: &TestApp| {
        // Every form has its own boundaries.
        let file = Part::text(SONGS).file_name("songs.csv");
        let form = Form::new().text("on_bad_row", "skip").part("file", file);
        app.request(Method::POST, UPLOAD).header(KEY, "form").multipart(form)
    };
    let first = accepted(form(&app)).await;
    let attempt = app.next_attempt().await;
    app.complete(&attempt, "sums").await;
    assert_eq!(accepted(form(&app)).await, first, "the stored answer, not the current task");
    let query = format!("{UPLOAD}?file_name=songs.csv&on_bad_row=skip");
    let raw = app.request(Method::POST, &query).header(KEY, "form").body(SONGS);
    let response = raw.send().await.unwrap();
    assert_eq!(response.headers()["location"], first["links"]["self"].as_str().unwrap());
    assert_eq!(response.json::<Value>().await.unwrap(), first, "a raw body is the same request");
    assert_eq!(count(&app).await, 1);
}

async fn a_key_with_other_content_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let first = accepted(raw(&app, "key", SONGS)).await;
    let others = [
        raw(&app, "key", "Song,Date,Number of Plays\n"),
        app.request(Method::POST, &format!("{UPLOAD}?file_name=other.csv"))
            .header(KEY, "key")
            .body(SONGS),
        app.request(Method::POST, &format!("{UPLOAD}?file_name=songs.csv&on_bad_row=skip"))
            .header(KEY, "key")
            .body(SONGS),
    ];
    for other in others {
        let (status, body) = problem(other.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["code"], "idempotency_key_reused");
    }
    assert_eq!(accepted(raw(&app, "key", SONGS)).await, first);
    assert_eq!(count(&app).await, 1);
    assert_ne!(accepted(raw(&app, "another", SONGS)).await["task_id"], first["task_id"]);
}

async fn a_key_is_scoped_to_its_user_and_path(backend: Backend) {
    let app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let path = format!("{UPLOAD}?file_name=songs.csv");
    let upload = |token| app.request_as(token, Method::POST, &path).header(KEY, "k").body(SONGS);
    let first = accepted(upload(&alice)).await;
    let second = accepted(upload(&bobby)).await;
    assert_ne!(first["task_id"], second["task_id"]);
    assert_eq!(accepted(upload(&alice)).await, first);
}

/// Sends all but the last byte of an upload.
fn begin_upload(app: &TestApp, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let token = app.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
    let head = format!(
        "POST {UPLOAD}?file_name=songs.csv HTTP/1.1\r\nHost: localhost\r\n{KEY}: {key}\r\n\
         Content-Length: {}\r\n{}\r\n",
        SONGS.len(),
        token.unwrap_or_default()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&SONGS.as_bytes()[..SONGS.len() - 1]).unwrap();
    stream
}

/// Sends the last byte; returns the start of the status line.
async fn end_upload(mut stream: TcpStream) -> String {
    let ending = tokio::task::spawn_blocking(move || {
        stream.write_all(&SONGS.as_bytes()[SONGS.len() - 1..]).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    ending.await.unwrap()
}

async fn repeats_are_409_while_a_request_is_in_progress(backend: Backend) {
    let app = TestApp::start(backend).await;
    let stream = begin_upload(&app, "slow");
    eventually("the upload is in progress", || async { (count(&app).await == 1).then_some(()) })
        .await;
    let response = raw(&app, "slow", SONGS).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, body) = problem(response).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &"request_under_way".into()));
    assert_eq!(end_upload(stream).await, "HTTP/1.1 202");
    accepted(raw(&app, "slow", SONGS)).await;
    assert_eq!(count(&app).await, 1);
}

async fn the_first_holder_of_an_expired_lock_commits_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let stream = begin_upload(&app, "stalled");
    eventually("the upload is in progress", || async { (count(&app).await == 1).then_some(()) })
        .await;
    // Simulates that the first process has not renewed it for too long.
    assert_eq!(app.sql("UPDATE idempotency_keys SET locked_until = '2000-01-01 00:00:00'"), 1);
    let second = accepted(raw(&app, "stalled", SONGS)).await;
    assert_eq!(end_upload(stream).await, "HTTP/1.1 409");
    assert_eq!(accepted(raw(&app, "stalled", SONGS)).await, second);
    let id = second["task_id"].as_str().unwrap().to_owned();
    app.wait_for_files(&[format!("raw_data/{id}")]).await;
    assert_eq!(count(&app).await, 1);
}

async fn an_error_frees_the_key(backend: Backend) {
    let app = TestApp::start(backend).await;
    let refused = raw(&app, "key", "PK\x03\x04").send().await.unwrap();
    assert_eq!(problem(refused).await.1["code"], "not_csv");
    let stream = begin_upload(&app, "cut");
    eventually("the upload is in progress", || async { (count(&app).await == 1).then_some(()) })
        .await;
    drop(stream);
    eventually("the key is free", || async {
        (send(raw(&app, "cut", SONGS)).await.0 == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    accepted(raw(&app, "key", SONGS)).await;
    assert_eq!(count(&app).await, 2);
}

async fn an_answer_is_replayed_for_a_day(backend: Backend) {
    let app = TestApp::start_with(backend, |config| {
        config.sweep_interval = std::time::Duration::from_millis(100);
    })
    .await;
    let first = accepted(raw(&app, "key", SONGS)).await;
    let hours = |hours| app.time(-chrono::TimeDelta::hours(hours));
    app.sql(&format!("UPDATE idempotency_keys SET created_at = {}", hours(23)));
    assert_eq!(accepted(raw(&app, "key", SONGS)).await, first);
    app.sql(&format!("UPDATE idempotency_keys SET created_at = {}", hours(25)));
    assert_ne!(accepted(raw(&app, "key", SONGS)).await["task_id"], first["task_id"]);
    app.sql(&format!("UPDATE idempotency_keys SET created_at = {}", hours(25)));
    eventually("old answers are swept", || async {
        (app.sql("UPDATE idempotency_keys SET created_at = created_at") == 0).then_some(())
    })
    .await;
}

async fn a_repeated_sign_up_replays_its_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    let sign_up = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        send(app.anonymous(Method::POST, "/v1/users").header(KEY, "key").json(&body))
    };
    let (status, first) = sign_up("alice", PASSWORD).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(sign_up("alice", PASSWORD).await, (status, first));
    let (status, body) = sign_up("alice", "another one").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(body["code"], "idempotency_key_reused");
    // Another user who happened to choose the same key.
    assert_eq!(sign_up("bobby", PASSWORD).await.0, StatusCode::CREATED);
    let taken = app.anonymous(Method::POST, "/v1/users").header(KEY, "new");
    let taken = taken.json(&json!({"username": "ALICE", "password": PASSWORD}));
    assert_eq!(send(taken).await.1["code"], "username_taken");
}

async fn an_invalid_key_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    for key in ["", "two words", &"x".repeat(256)] {
        let (status, body) = problem(raw(&app, key, SONGS).send().await.unwrap()).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &"bad_request".into()));
    }
    let two = raw(&app, "one", SONGS).header(KEY, "two").send().await.unwrap();
    assert_eq!(problem(two).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(count(&app).await, 0);
}

async fn a_restart_in_mid_request_blocks_no_repeat(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = accepted(raw(&app, "done", SONGS)).await;
    accepted(raw(&app, "open", SONGS)).await;
    // The state after a server was killed before its answer.
    app.sql(&format!(
        "UPDATE idempotency_keys SET answer = NULL, fingerprint = NULL, locked_until = {} \
         WHERE answer NOT LIKE '%{}%'",
        app.time(chrono::TimeDelta::seconds(2)),
        first["task_id"].as_str().unwrap(),
    ));
    app.restart().await;
    // Immediately if standalone; in a fleet when the lock has expired.
    eventually("the key is free", || async {
        let (status, body) = send(raw(&app, "open", SONGS)).await;
        assert!(matches!(status.as_u16(), 202 | 409), "{body}");
        assert!(backend == Backend::Fleet || status == StatusCode::ACCEPTED);
        (status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    assert_eq!(accepted(raw(&app, "done", SONGS)).await, first);
    assert!(app.list("").await.items.iter().all(|task| task.state == TaskState::Queued));
}
