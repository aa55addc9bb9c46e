//! Bad input gets a clear error and changes nothing.

use common::task::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    what_is_not_there_is_404,
    a_foreign_method_is_told_the_right_ones,
    uploads_with_a_wrong_shape_are_refused_in_words,
    every_wrong_parameter_is_named_in_one_answer,
    a_token_that_nobody_gave_is_refused,
    a_request_id_is_taken_over_where_it_is_plain,
    the_pages_for_people_are_there,
];

async fn what_is_not_there_is_404(backend: Backend) {
    let app = TestApp::start(backend).await;
    let id = TaskId::new();
    for (path, code) in [
        (format!("/v1/tasks/{id}"), "task_not_found"),
        ("/v1/tasks/not-an-id".to_owned(), "task_not_found"),
        (format!("/v1/data_processor/download/{id}"), "task_not_found"),
        (format!("/v1/data_processor/rejected/{id}"), "task_not_found"),
        ("/v1/nothing/here".to_owned(), "not_found"),
    ] {
        let (status, body) = problem(app.get(&path).await).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &Value::from(code)), "{path}");
    }
    for verb in ["stop", "kill", "resume"] {
        let (status, _) = problem(app.post(&format!("/v1/tasks/{id}/{verb}")).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

async fn a_foreign_method_is_told_the_right_ones(backend: Backend) {
    let app = TestApp::start(backend).await;
    let response = app.request(Method::PUT, "/v1/tasks").send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET"), "{allow}");
    let (status, body) = problem(response).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body["code"], "method_not_allowed");
}

async fn uploads_with_a_wrong_shape_are_refused_in_words(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = "/v1/data_processor/upload";
    let form = "multipart/form-data; boundary=x";
    let unclosed =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nSong";
    let no_file = "--x\r\nContent-Disposition: form-data; name=\"sum\"\r\n\r\nPlays\r\n--x--\r\n";
    let cases = [
        ("", "application/json", "{}", 415, "unsupported_media_type"),
        ("", "multipart/form-data", "x", 400, "bad_request"),
        ("", form, "no boundary in here", 400, "bad_request"),
        ("", form, unclosed, 400, "bad_request"),
        ("", form, no_file, 422, "invalid_parameters"),
        ("", "text/csv", SONGS, 422, "invalid_parameters"),
        ("?file_name=a.csv&colour=red", "text/csv", SONGS, 422, "invalid_parameters"),
        ("?file_name=a.csv&on_bad_row=ignore", "text/csv", SONGS, 422, "invalid_parameters"),
    ];
    for (query, content_type, body, status, code) in cases {
        let request = app.request(Method::POST, &format!("{path}{query}"));
        let request = request.header("content-type", content_type).body(body);
        let (given, problem) = problem(request.send().await.unwrap()).await;
        assert_eq!(given.as_u16(), status, "{query} {content_type}: {problem}");
        assert_eq!(problem["code"], code, "{problem}");
    }
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

async fn every_wrong_parameter_is_named_in_one_answer(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = "/v1/data_processor/upload?file_name=a.csv&colour=red&on_bad_row=x&total_header=";
    let request = app.request(Method::POST, path).body(SONGS);
    let (_, body) = problem(request.send().await.unwrap()).await;
    assert_eq!(body["error_count"], 3, "{body}");
    let (status, body) = problem(app.get("/v1/tasks?state=done&page_size=-1").await).await;
    assert_eq!((status, &body["error_count"]), (StatusCode::UNPROCESSABLE_ENTITY, &2.into()));
}

async fn a_token_that_nobody_gave_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let request = app.request(Method::GET, "/v1/tasks").bearer_auth("guess");
    let (status, body) = problem(request.send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &"invalid_token".into()));
}

async fn a_request_id_is_taken_over_where_it_is_plain(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send = async |id: &str| {
        let request = app.request(Method::GET, "/healthz").header("x-request-id", id);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(send("trace-1.2_3").await, "trace-1.2_3");
    assert_ne!(send("<script>").await, "<script>");
}

async fn the_pages_for_people_are_there(backend: Backend) {
    let app = TestApp::start(backend).await;
    let home = app.get("/").await.text().await.unwrap();
    assert!(home.contains(&format!("http://{}/v1/data_processor/upload", app.address())));
    let docs = app.get("/docs/").await;
    assert_eq!(docs.status(), StatusCode::OK);
    assert!(docs.text().await.unwrap().contains("swagger-ui"));
    let ready: Value = app.get("/readyz").await.json().await.unwrap();
    assert_eq!(
        ready,
        serde_json::json!({"ready": true, "database": "ok", "queue": "ok", "storage": "ok"})
    );
}
