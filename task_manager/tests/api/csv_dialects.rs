//! Parameters that say how CSV files are written.

use common::report::{Event, Outcome};
use common::task::spec::{Delimiter, TaskSpec};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    workers_get_the_delimiter_and_clients_see_it,
    an_unknown_delimiter_is_refused,
    text_in_utf_16_is_accepted,
    the_result_of_a_load_has_the_dialect,
];

const PATHS: [&str; 3] = ["/v1/data_processor/upload", "/v1/csv_previews", "/v1/data_uploads"];

async fn upload(app: &TestApp, path: &str, query: &str) -> reqwest::Response {
    let path = format!("{path}?file_name=a.csv{query}");
    let request = app.request(Method::POST, &path).header("content-type", "text/csv");
    request.body("name;email\nAda;ada@example.org\n").send().await.unwrap()
}

async fn workers_get_the_delimiter_and_clients_see_it(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for path in PATHS {
        let response = upload(&app, path, "&delimiter=semicolon").await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let attempt = app.next_attempt().await;
        let dialect = match attempt.spec {
            TaskSpec::CsvAggregation(spec) => spec.dialect,
            TaskSpec::CsvPreview(spec) => spec.dialect,
            TaskSpec::DataUpload(spec) => spec.dialect,
            spec => panic!("{spec:?}"),
        };
        assert_eq!(dialect.delimiter, Some(Delimiter::Semicolon));
        let task = app.get(&format!("/v1/tasks/{}", attempt.task_id)).await;
        let task: Value = task.json().await.unwrap();
        assert_eq!(task["parameters"]["delimiter"], ";", "{task}");
    }
    assert_eq!(app.list("?parameter=delimiter:%3B").await.items.len(), PATHS.len());
    assert!(app.list("?parameter=delimiter:%7C").await.items.is_empty());
}

async fn an_unknown_delimiter_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    for path in PATHS {
        let (status, body) = problem(upload(&app, path, "&delimiter=colon").await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body["errors"][0]["field"], "delimiter");
    }
}

async fn text_in_utf_16_is_accepted(backend: Backend) {
    let app = TestApp::start(backend).await;
    for path in PATHS {
        let path = format!("{path}?file_name=a.csv");
        let request = app.request(Method::POST, &path).header("content-type", "text/csv");
        let response = request.body(&b"\xFF\xFEn\0a\0m\0e\0"[..]).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{path}");
    }
}

async fn the_result_of_a_load_has_the_dialect(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for (reported, shown) in [
        (json!({"dialect": {"delimiter": "\t"}}), json!({"delimiter": "\t"})),
        // A worker of an earlier version.
        (json!({}), Value::Null),
    ] {
        upload(&app, PATHS[2], "").await;
        let attempt = app.next_attempt().await;
        let done = Event::Completed { result: reported, output: None };
        assert_eq!(app.report(&attempt, done).await, Outcome::Accepted);
        assert_eq!(app.task(attempt.task_id).await.result.unwrap()["dialect"], shown);
    }
}
