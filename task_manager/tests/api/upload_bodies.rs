//! Bodies of uploads: spellings of clients, and interruptions.

use std::time::Duration;

use common::task::TaskKind;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::app::{DEADLINE, SONGS, TestApp, eventually, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_form_that_ends_before_its_closing_boundary_is_refused_whatever_the_timing,
    an_idle_upload_is_aborted_and_leaves_nothing,
    an_upload_ends_with_its_session,
    a_refusal_does_not_wait_for_the_rest_of_the_body,
    file_names_are_read_as_clients_write_them,
    an_unnamed_file_gets_a_neutral_name,
    encoded_bodies_are_refused_on_every_route,
];

const UPLOAD: &str = "/v1/data_processor/upload";
const FORM: &str = "multipart/form-data; boundary=edge";

/// Sends the head of a request for a body of `length` bytes.
async fn begin(app: &TestApp, path: &str, content_type: &str, length: usize) -> TcpStream {
    begin_as(app.token.as_deref(), app, path, content_type, length).await
}

/// The same as the user of a token.
async fn begin_as(
    token: Option<&str>,
    app: &TestApp,
    path: &str,
    content_type: &str,
    length: usize,
) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n{}\r\n",
        token.unwrap_or_default()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads the answer up to the end of its problem document.
async fn answer(stream: &mut TcpStream) -> (u16, String, Value) {
    let mut seen = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(problem) = serde_json::from_str(body)
            {
                return (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), problem);
            }
            let read = stream.read_buf(&mut seen).await.unwrap();
            assert_ne!(read, 0, "the connection ended: {text}");
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap()
}

async fn assert_nothing_is_left(app: &TestApp) {
    eventually("the task is gone", || async { app.list("").await.items.is_empty().then_some(()) })
        .await;
    app.wait_for_files(&[]).await;
}

async fn a_form_that_ends_before_its_closing_boundary_is_refused_whatever_the_timing(
    backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let form = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n\
         {SONGS}\r\n--edge--\r\n"
    );
    let (app_ref, form_ref) = (&app, &form);
    let refused = async |length: usize, pause: u64| {
        let mut stream = begin(app_ref, UPLOAD, FORM, form_ref.len()).await;
        let (first, second) = form_ref[..length].split_at(length.saturating_sub(3));
        stream.write_all(first.as_bytes()).await.unwrap();
        // The test is about the time between the chunks.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stream.write_all(second.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stream.shutdown().await.unwrap();
        let (status, _, body) = answer(&mut stream).await;
        assert_eq!(status, 400, "{length} {pause}: {body}");
    };
    // All lengths near the closing boundary, and some before it.
    let lengths: Vec<_> = (0..form.len()).rev().take(16).chain([0, 1, 50, 100]).collect();
    for pause in [0, 10, 510, 1_100] {
        join_all(lengths.iter().map(|length| refused(*length, pause))).await;
    }
    assert_nothing_is_left(&app).await;
}

async fn an_idle_upload_is_aborted_and_leaves_nothing(backend: Backend) {
    let change = |config: &mut task_manager::config::Config| {
        config.upload_idle_timeout = Duration::from_millis(400);
    };
    let app = TestApp::start_with(backend, change).await;
    let raw = format!("{UPLOAD}?file_name=songs.csv");
    let in_file = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n{SONGS}"
    );
    let behind_file = format!("{in_file}\r\n--edge");
    // More than the first part, so that an unfinished file exists.
    let long = format!("{in_file}{}", "a,2020-01-01,1\n".repeat(200_000));
    for (path, content_type, sent) in [
        (raw.as_str(), "text/csv", ""),
        (&raw, "text/csv", SONGS),
        (UPLOAD, FORM, ""),
        (UPLOAD, FORM, "--edge\r\nContent-Disposition"),
        (UPLOAD, FORM, &in_file),
        (UPLOAD, FORM, &behind_file),
        (UPLOAD, FORM, &long),
        ("/v1/data_uploads?file_name=x.csv", "text/csv", "name,email\n"),
        ("/v1/file_statistics?file_name=x", "text/plain", "x"),
        ("/v1/messages/bulk", "application/json", "[{"),
    ] {
        let mut stream = begin(&app, path, content_type, 10_000_000).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let (status, head, body) = answer(&mut stream).await;
        assert_eq!((status, &body["code"]), (408, &json!("upload_timeout")), "{path}: {body}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
        assert!(body["detail"].as_str().unwrap().contains("`upload_idle_timeout`"), "{body}");
        assert_nothing_is_left(&app).await;
    }
    // A slow client is not idle.
    let mut stream = begin(&app, &raw, "text/csv", SONGS.len()).await;
    for bytes in SONGS.as_bytes().chunks(8) {
        stream.write_all(bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, ..) = answer(&mut stream).await;
    assert_eq!(status, 202);
}

async fn an_upload_ends_with_its_session(backend: Backend) {
    let app = TestApp::start(backend).await;
    let raw = format!("{UPLOAD}?file_name=songs.csv");
    let form = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n{SONGS}"
    );
    let alice = app.log_in_as("alice").await;
    let mut uploads = Vec::new();
    for (path, content_type, sent) in [
        (raw.as_str(), "text/csv", SONGS),
        (UPLOAD, FORM, form.as_str()),
        ("/v1/messages/bulk", "application/json", "["),
    ] {
        let mut stream = begin_as(Some(&alice), &app, path, content_type, 10_000_000).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        uploads.push((path, stream));
    }
    eventually("both files arrive", || async {
        (app.sql("UPDATE tasks SET failures = 0 WHERE state = 'initializing'") == 2).then_some(())
    })
    .await;
    app.sql("UPDATE users SET disabled = TRUE WHERE username = 'alice'");
    for (path, mut stream) in uploads {
        let (status, _, body) = answer(&mut stream).await;
        assert_eq!((status, &body["code"]), (401, &json!("invalid_token")), "{path}: {body}");
    }
    eventually("the tasks are gone", || async {
        (app.sql("UPDATE tasks SET failures = 0") == 0).then_some(())
    })
    .await;
    app.wait_for_files(&[]).await;
}

async fn a_refusal_does_not_wait_for_the_rest_of_the_body(backend: Backend) {
    let app = TestApp::start_with(backend, |config| config.upload_limit = 1_000).await;
    let length = 1_000_000;
    let mut stream = begin(&app, &format!("{UPLOAD}?file_name=x.csv"), "text/csv", length).await;
    stream.write_all(&vec![b'x'; 2_000]).await.unwrap();
    // The client waits for the server, and the server does not wait for the client.
    let (status, _, body) = answer(&mut stream).await;
    assert_eq!((status, &body["code"]), (413, &json!("too_large")));
    // A client that continues to send is not cut off.
    stream.write_all(&vec![b'x'; length - 2_000]).await.unwrap();
    assert_nothing_is_left(&app).await;
}

fn part(disposition: &str) -> String {
    format!(
        "--edge\r\nContent-Disposition: form-data; name=file{disposition}\r\n\r\n# Tea\n\r\n\
         --edge--\r\n"
    )
}

async fn name_of(app: &TestApp, path: &str, content_type: &str, body: String) -> String {
    let request = app.request(Method::POST, path).header("content-type", content_type).body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    let task: Value = response.json().await.unwrap();
    task["file_name"].as_str().unwrap().to_owned()
}

async fn file_names_are_read_as_clients_write_them(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (disposition, expected) in [
        ("; filename=\"=?utf-8?B?TcOkcnoubWQ=?=\"; filename*=utf-8''M%C3%A4rz.md", "März.md"),
        ("; filename==?utf-8?B?TcOkcnoubWQ=?=", "März.md"),
        ("; filename=\"x.md\"; filename*=UTF-8''..%2F..%2F%D0%BC%D0%B0%D1%80%D1%82.md", "март.md"),
        ("; filename=\"a %22b%22.md\"", "a \"b\".md"),
    ] {
        let body = part(disposition);
        assert_eq!(name_of(&app, "/v1/file_statistics", FORM, body).await, expected);
    }
}

async fn an_unnamed_file_gets_a_neutral_name(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for disposition in ["", "; filename=\"\"", "; filename=\"..\""] {
        let name = name_of(&app, "/v1/file_statistics", FORM, part(disposition)).await;
        assert_eq!(name, "upload", "nothing shows that it is CSV");
        let attempt = app.next_attempt().await;
        assert_eq!(attempt.spec.kind(), TaskKind::FileStatistics);
        assert_eq!(attempt.input.unwrap().file_name, "upload");
        assert_eq!(name_of(&app, UPLOAD, FORM, part(disposition)).await, "upload.csv");
        app.next_attempt().await;
    }
    let raw = |path| name_of(&app, path, "application/octet-stream", SONGS.to_owned());
    assert_eq!(raw("/v1/file_statistics?file_name=").await, "upload");
    assert_eq!(raw("/v1/data_processor/upload?file_name=").await, "upload.csv");
    assert_eq!(raw("/v1/data_uploads?file_name=..").await, "upload.csv");
    let form = part("; filename=\"tea.md\"");
    assert_eq!(name_of(&app, "/v1/file_statistics?file_name=", FORM, form).await, "tea.md");
}

async fn encoded_bodies_are_refused_on_every_route(backend: Backend) {
    let app = TestApp::start(backend).await;
    let encoded = |path: &str, encoding: &str| {
        app.request(Method::POST, path)
            .header("content-encoding", encoding)
            .header("content-type", "application/json")
            .body("{\"username\": \"alice\", \"password\": \"Pa55word!\"}")
            .send()
    };
    for path in [
        "/v1/users",
        "/v1/sessions",
        "/v1/messages",
        "/v1/messages/bulk",
        "/v1/user_events",
        "/v1/file_statistics?file_name=x",
        "/internal/v1/claims",
    ] {
        for encoding in ["gzip", "br", "identity, gzip"] {
            let response = encoded(path, encoding).await.unwrap();
            assert_eq!(response.headers()["accept-encoding"], "identity");
            let (status, body) = problem(response).await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}: {body}");
            assert_eq!(body["code"], "unsupported_content_encoding");
            assert!(body["detail"].as_str().unwrap().contains("without this header"), "{body}");
        }
    }
    assert_nothing_is_left(&app).await;
    let response = encoded("/v1/users", "identity").await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let nothing = app.request(Method::GET, "/v1/tasks").header("content-encoding", "gzip");
    assert_eq!(nothing.send().await.unwrap().status(), StatusCode::OK, "it has no body");
}
