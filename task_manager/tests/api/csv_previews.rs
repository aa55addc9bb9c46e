//! Previews of CSV files.

use common::report::{Event, Outcome};
use common::task::{AcceptedTask, TaskKind, TaskState};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    the_preview_is_the_result_of_the_task,
    only_csv_files_are_accepted,
    a_result_of_the_wrong_shape_is_rejected,
];

const PATH: &str = "/v1/csv_previews";

async fn upload(app: &TestApp, query: &str, content: &'static [u8]) -> Response {
    let form = Form::new().part("file", Part::bytes(content).file_name("songs.csv"));
    let path = format!("{PATH}{query}");
    app.request(Method::POST, &path).multipart(form).send().await.unwrap()
}

fn preview() -> Value {
    json!({
        "columns": [{"name": "Song", "type": "text", "value_count": 1, "empty_count": 0}],
        "column_count": 1, "rows": [["Umbrella"]], "row_count": 1, "irregular_row_count": 0,
    })
}

async fn the_preview_is_the_result_of_the_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let response = upload(&app, "", b"Song\nUmbrella\n").await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let accepted: AcceptedTask = response.json().await.unwrap();
    assert_eq!(accepted.task.kind, TaskKind::CsvPreview);
    let attempt = app.next_attempt().await;
    let done = Event::Completed { result: preview(), output: None };
    assert_eq!(app.report(&attempt, done).await, Outcome::Accepted);
    let path = format!("/v1/tasks/{}", attempt.task_id);
    let task: Value = app.get(&path).await.json().await.unwrap();
    assert_eq!((&task["state"], &task["result"]), (&json!("processed"), &preview()));
    assert_eq!(task["links"]["download"], Value::Null);
    // It has no rows that would keep the task.
    let deleted = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
}

async fn only_csv_files_are_accepted(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (query, content, code) in [
        ("", &b"PK\x03\x04"[..], "not_csv"),
        ("", b"", "empty_file"),
        ("?rows=3", b"a\n1\n", "invalid_parameters"),
    ] {
        let (status, body) = problem(upload(&app, query, content).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["code"], code);
    }
}

async fn a_result_of_the_wrong_shape_is_rejected(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    upload(&app, "", b"a\n1\n").await;
    let attempt = app.next_attempt().await;
    let done = Event::Completed { result: json!({"rows": 1}), output: None };
    let outcome = app.report(&attempt, done).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
}
