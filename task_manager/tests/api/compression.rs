//! Compressed answers.

use std::io::Read;

use common::task::{TaskId, TaskList};
use flate2::read::GzDecoder;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    lists_are_compressed_for_clients_that_take_gzip,
    no_request_fails_for_the_encodings_it_takes,
    only_json_that_a_get_answers_is_compressed,
];

const LIST: &str = "/v1/tasks";

/// The answer to a request with this `Accept-Encoding`.
async fn ask(app: &TestApp, method: Method, path: &str, accepted: &str) -> Response {
    app.request(method, path).header("accept-encoding", accepted).send().await.unwrap()
}

fn is_compressed(response: &Response) -> bool {
    response.headers().contains_key("content-encoding")
}

fn varies(response: &Response) -> bool {
    response.headers().get_all("vary").iter().any(|value| value == "accept-encoding")
}

/// The tasks of a list.
fn ids(json: &[u8]) -> Vec<TaskId> {
    let list: TaskList = serde_json::from_slice(json).unwrap();
    list.items.iter().map(|task| task.task_id).collect()
}

async fn lists_are_compressed_for_clients_that_take_gzip(backend: Backend) {
    let app = TestApp::start(backend).await;
    for _ in 0..3 {
        app.upload(SONGS).await;
    }
    let plain = app.get(LIST).await;
    assert!(!is_compressed(&plain) && varies(&plain));
    assert!(plain.headers().contains_key("content-length"));
    let expected = ids(&plain.bytes().await.unwrap());
    assert_eq!(expected.len(), 3);

    for accepted in ["gzip", "br, gzip;q=0.5", "*", "identity;q=0, gzip", "X-GZIP"] {
        let packed = ask(&app, Method::GET, LIST, accepted).await;
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{accepted}");
        assert!(varies(&packed));
        let mut json = Vec::new();
        let bytes = packed.bytes().await.unwrap();
        GzDecoder::new(bytes.as_ref()).read_to_end(&mut json).unwrap();
        assert_eq!(ids(&json), expected, "{accepted}");
    }
    let head = ask(&app, Method::HEAD, LIST, "gzip").await;
    assert_eq!(head.headers()["content-encoding"], "gzip");
    assert!(!head.headers().contains_key("content-length"), "it is not known in advance");
}

async fn no_request_fails_for_the_encodings_it_takes(backend: Backend) {
    let app = TestApp::start(backend).await;
    for _ in 0..3 {
        app.upload(SONGS).await;
    }
    let refusing = ["identity;q=0", "*;q=0", "gzip;q=0, identity;q=0", "*;q=0, identity;q=0.0"];
    for accepted in [&refusing[..], &["", "br", "gzip;q=0", "identity, gzip;q=0.9"]].concat() {
        let list = ask(&app, Method::GET, LIST, accepted).await;
        assert_eq!((list.status(), is_compressed(&list)), (StatusCode::OK, false), "{accepted}");
        let none = ask(&app, Method::GET, "/v1/tasks/7", accepted).await;
        assert_eq!(problem(none).await.0, StatusCode::NOT_FOUND, "{accepted}");
    }
}

async fn only_json_that_a_get_answers_is_compressed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    app.complete(&attempt, "Song,Date,Number of Plays\n".repeat(100).leak()).await;
    let id = attempt.task_id;
    for path in [
        format!("/v1/data_processor/download/{id}"),
        format!("/v1/tasks/{id}/events"),
        "/v1/tasks/events".to_owned(),
        "/".to_owned(),
        "/healthz".to_owned(),
    ] {
        let response = ask(&app, Method::GET, &path, "gzip").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(!is_compressed(&response) && !varies(&response), "{path}");
    }
    let download = format!("/v1/data_processor/download/{id}");
    let part = app.request(Method::GET, &download).header("range", "bytes=0-1999");
    let part = part.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!((part.status(), is_compressed(&part)), (StatusCode::PARTIAL_CONTENT, false));
    assert_eq!(part.headers()["content-length"], "2000");

    let blank = vec![json!({"message": " "}); 100];
    let load = app.request(Method::POST, "/v1/messages/bulk").json(&blank);
    let loaded = load.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!((loaded.status(), is_compressed(&loaded)), (StatusCode::OK, false));
    assert!(loaded.content_length().unwrap() > 1_024, "long enough to be compressed");
}
