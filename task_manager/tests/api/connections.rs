//! Connections of slow, silent and many clients. The tests do not depend on the database, so one
//! pair is enough.

use std::time::{Duration, Instant};

use common::task::TaskState;
use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use task_manager::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::app::{DEADLINE, SONGS, TestApp, eventually, problem};
use super::backend::Backend;

/// A short timeout, and one that is much longer.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

async fn app(change: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::start_with(Backend::Standalone, change).await
}

/// A connection on which `text` was sent.
async fn connect(app: &TestApp, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until the server closes the connection; also returns how long that takes.
async fn until_the_end(mut stream: TcpStream) -> (String, Duration) {
    let begin = Instant::now();
    let mut text = Vec::new();
    // An aborted connection may end with an error.
    let _ =
        timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("the connection stays open");
    (String::from_utf8_lossy(&text).into_owned(), begin.elapsed())
}

/// Reads the head of an answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(DEADLINE, reading).await.expect("no answer in time");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_without_a_complete_request_is_closed() {
    let app = app(|config| {
        config.connections.timeouts.header = SHORT;
        config.connections.timeouts.keep_alive = LONG;
        config.connections.timeouts.send = LONG;
    })
    .await;
    for begun in ["", "G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let (text, time) = until_the_end(connect(&app, begun).await).await;
        assert_eq!(text, "", "{begun:?}");
        assert!(time >= SHORT / 2, "{begun:?} after {time:?}");
    }
    // Single bytes do not extend the deadline.
    let mut slow = connect(&app, "GET /healthz HTTP/1.1\r\nX-Slow: ").await;
    let begin = Instant::now();
    let dripping = async {
        while slow.write_all(b"x").await.is_ok() {
            sleep(SHORT / 6).await
        }
    };
    timeout(DEADLINE, dripping).await.expect("it is never closed");
    assert!(begin.elapsed() < SHORT * 10, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_kept_alive_connection_is_closed_after_its_timeout() {
    let keep_alive = SHORT * 5;
    let app = app(|config| {
        config.connections.timeouts.header = SHORT;
        config.connections.timeouts.keep_alive = keep_alive;
    })
    .await;
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = connect(&app, request).await;
    for _ in 0..3 {
        assert!(head(&mut stream).await.contains("HTTP/1.1 200"));
        sleep(SHORT * 2).await;
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    let (text, time) = until_the_end(stream).await;
    assert!(text.contains("\"status\":\"ok\""), "{text}");
    assert!(time > keep_alive * 3 / 4, "{time:?}");
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_408() {
    let app = app(|config| config.body_timeout = SHORT).await;
    for (path, content_type) in [
        ("/v1/users", "application/json"),
        ("/v1/sessions", "application/json"),
        ("/v1/messages", "application/json"),
        ("/v1/user_events", "application/json"),
        ("/internal/v1/claims", "application/json"),
    ] {
        let token = app.service_token();
        let token = if path.starts_with("/internal") {
            format!("Authorization: Bearer {token}\r\n")
        } else {
            String::new()
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: {content_type}\r\n\
             Content-Length: 100\r\n\r\n{{\"mess"
        );
        let (text, time) = until_the_end(connect(&app, &request).await).await;
        assert!(text.starts_with("HTTP/1.1 408"), "{path}: {text}");
        assert!(text.contains("application/problem+json"), "{path}: {text}");
        assert!(text.contains("\"code\":\"request_timeout\""), "{path}: {text}");
        assert!(time >= SHORT / 2, "{path}: {time:?}");
    }
}

#[tokio::test]
async fn connections_that_make_progress_are_never_closed() {
    let mut app = app(|config| {
        config.connections.timeouts.header = SHORT;
        config.connections.timeouts.keep_alive = SHORT;
        config.connections.timeouts.send = SHORT;
        config.body_timeout = SHORT;
    })
    .await;
    // A stream without events.
    let events = app.get("/v1/tasks/events").await;
    let mut events = events.bytes_stream();
    // A body whose chunks each arrive in time.
    let pieces = ["{\"username\":", "\"alice42\",", "\"password\":", "\"Pa55word!\"}"];
    let request = format!(
        "POST /v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        pieces.concat().len()
    );
    let mut slow = connect(&app, &request).await;
    for piece in pieces {
        sleep(SHORT / 2).await;
        slow.write_all(piece.as_bytes()).await.unwrap();
    }
    assert!(head(&mut slow).await.starts_with("HTTP/1.1 201"));
    // A file that arrives slowly.
    let length = SONGS.len();
    let mut upload = connect(
        &app,
        &format!(
            "POST /v1/data_processor/upload?file_name=a.csv HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: text/csv\r\nContent-Length: {length}\r\n\r\n"
        ),
    )
    .await;
    for piece in SONGS.as_bytes().chunks(length.div_ceil(4)) {
        sleep(SHORT * 2).await;
        upload.write_all(piece).await.unwrap();
    }
    assert!(head(&mut upload).await.starts_with("HTTP/1.1 202"));
    let event = timeout(DEADLINE, events.next()).await.expect("the stream was closed").unwrap();
    assert!(event.unwrap().starts_with(b"event"), "the first event is that of the upload");
    let attempt = app.next_attempt().await;
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
}

#[tokio::test]
async fn a_download_lasts_as_long_as_it_is_read() {
    const SIZE: usize = 32 << 20;
    let mut app = app(|config| config.connections.timeouts.send = SHORT * 3).await;
    let attempt = app.processing_task().await;
    let content: &'static str = "x".repeat(SIZE).leak();
    app.complete(&attempt, content).await;
    let path = format!("/v1/data_processor/download/{}", attempt.task_id);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

    let mut slow = connect(&app, &request).await;
    head(&mut slow).await;
    let mut buffer = vec![0; 2 << 20];
    let mut read = 0;
    while read < SIZE {
        sleep(SHORT / 2).await;
        let mut part = 0;
        while part < buffer.len() && read + part < SIZE {
            part += slow.read(&mut buffer[part..]).await.unwrap();
        }
        read += part;
    }
    assert_eq!(read, SIZE, "slower in total than the timeout, but read continuously");

    let mut silent = connect(&app, &request).await;
    head(&mut silent).await;
    sleep(SHORT * 10).await;
    let (text, _) = until_the_end(silent).await;
    assert!(text.len() < SIZE, "it was sent without a reader");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_but_health_checks_are_answered() {
    const LIMIT: usize = 4;
    let app = app(|config| config.connections.max_connections = LIMIT).await;
    let mut streams = Vec::new();
    for _ in 0..LIMIT {
        let request = "GET /v1/tasks/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut stream = connect(&app, request).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        streams.push(stream);
    }
    let begin = Instant::now();
    let refused = app.anonymous(Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["connection"], "close");
    let (status, body) = problem(refused).await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"overloaded".into()));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let upload = app
        .anonymous(Method::POST, "/v1/data_processor/upload?file_name=a.csv")
        .body("x".repeat(4 << 20));
    assert_eq!(problem(upload.send().await.unwrap()).await.1["code"], "overloaded");
    for path in ["/healthz", "/readyz"] {
        let health = app.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK, "{path}");
    }
    let claims = app
        .anonymous(Method::POST, "/internal/v1/claims")
        .bearer_auth(app.service_token())
        .json(&serde_json::json!({"worker": uuid::Uuid::now_v7(), "deliveries": []}));
    assert_eq!(claims.send().await.unwrap().status(), StatusCode::OK, "workers are served");

    drop(streams.pop());
    eventually("a connection is free again", || async {
        let list = app.anonymous(Method::GET, "/v1/tasks").send().await.unwrap();
        (list.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn idle_connections_make_room() {
    const LIMIT: usize = 4;
    let app = app(|config| config.connections.max_connections = LIMIT).await;
    let mut idle = Vec::new();
    for number in 0..LIMIT {
        let request = if number % 2 == 0 { "" } else { "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" };
        idle.push(connect(&app, request).await);
    }
    let served = eventually("a new client is served", || async {
        let list = app.anonymous(Method::GET, "/v1/tasks").send().await.unwrap();
        Some(list).filter(|list| list.status() == StatusCode::OK)
    })
    .await;
    assert!(served.json::<Value>().await.unwrap()["items"].is_array());
}

#[tokio::test]
async fn excess_connections_wait() {
    const LIMIT: usize = 1;
    let app = app(|config| {
        config.connections.max_connections = LIMIT;
        config.connections.timeouts.header = SHORT;
    })
    .await;
    // As many as the limit and the reserve, and some more.
    let mut silent = Vec::new();
    for _ in 0..LIMIT + 64 + 20 {
        silent.push(connect(&app, "GET /").await);
    }
    let health = app.anonymous(Method::GET, "/healthz").timeout(DEADLINE).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
}
