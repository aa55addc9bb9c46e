//! Bad input gets a clear error and changes nothing.

use common::task::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    unknown_paths_and_tasks_are_404,
    a_wrong_method_lists_the_allowed_ones,
    malformed_uploads_are_refused_with_a_reason,
    one_answer_names_every_invalid_parameter,
    a_made_up_page_token_is_refused,
    simple_request_ids_are_adopted,
    the_documentation_and_the_health_are_served,
    arrays_are_not_accepted_as_objects,
    a_request_that_names_two_hosts_is_refused,
    internal_routes_require_the_service_token,
];

async fn unknown_paths_and_tasks_are_404(backend: Backend) {
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

async fn a_wrong_method_lists_the_allowed_ones(backend: Backend) {
    let app = TestApp::start(backend).await;
    let response = app.request(Method::PUT, "/v1/tasks").send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET"), "{allow}");
    let (status, body) = problem(response).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body["code"], "method_not_allowed");
}

async fn malformed_uploads_are_refused_with_a_reason(backend: Backend) {
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

async fn one_answer_names_every_invalid_parameter(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = "/v1/data_processor/upload?file_name=a.csv&colour=red&on_bad_row=x&total_header=";
    let request = app.request(Method::POST, path).body(SONGS);
    let (_, body) = problem(request.send().await.unwrap()).await;
    assert_eq!(body["error_count"], 3, "{body}");
    let (status, body) = problem(app.get("/v1/tasks?state=done&page_size=-1").await).await;
    assert_eq!((status, &body["error_count"]), (StatusCode::UNPROCESSABLE_ENTITY, &2.into()));
}

async fn a_made_up_page_token_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let request = app.request(Method::GET, "/v1/tasks").bearer_auth("guess");
    let (status, body) = problem(request.send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &"invalid_token".into()));
}

async fn simple_request_ids_are_adopted(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send = async |id: &str| {
        let request = app.request(Method::GET, "/healthz").header("x-request-id", id);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(send("trace-1.2_3").await, "trace-1.2_3");
    assert_ne!(send("<script>").await, "<script>");
}

async fn the_documentation_and_the_health_are_served(backend: Backend) {
    let app = TestApp::start(backend).await;
    let docs = app.get("/docs/").await;
    assert_eq!(docs.status(), StatusCode::OK);
    assert!(docs.text().await.unwrap().contains("swagger-ui"));
    let ready: Value = app.get("/readyz").await.json().await.unwrap();
    assert_eq!(
        ready,
        serde_json::json!({"ready": true, "database": "ok", "queue": "ok", "storage": "ok"})
    );
}

async fn arrays_are_not_accepted_as_objects(backend: Backend) {
    let app = TestApp::start(backend).await;
    let address = json!(["Portland", "Oregon", "United States", "97201"]);
    let time = "2019-05-07T19:54:13Z";
    for (method, path, body) in [
        (Method::POST, "/v1/users", json!(["frank1", "Pa55word!"])),
        (Method::POST, "/v1/sessions", json!(["tester", "Pa55word!"])),
        (Method::POST, "/v1/messages", json!(["hello"])),
        (Method::POST, "/v1/user_events", json!([["1", address, time]])),
        (Method::POST, "/v1/user_events", json!({"id": "1", "address": address, "datetime": time})),
        (
            Method::POST,
            "/v1/user_events",
            json!([{"id": "1", "address": address, "datetime": time}]),
        ),
        (Method::PUT, "/v1/schedules/a", json!(["@daily", "UTC", true, []])),
        (Method::POST, "/internal/v1/claims", json!([Uuid::now_v7(), []])),
    ] {
        let request = match path.starts_with("/internal") {
            true => app.anonymous(method, path).bearer_auth(app.service_token()),
            false => app.request(method, path),
        };
        let (status, problem) = problem(request.json(&body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("an array, expected an object"), "{path}: {detail}");
    }
    let bulk = app.request(Method::POST, "/v1/messages/bulk").json(&json!([["hello"]]));
    let bulk: Value = bulk.send().await.unwrap().json().await.unwrap();
    assert_eq!((&bulk["inserted"], &bulk["error_count"]), (&0.into(), &1.into()), "{bulk}");
    let frank = json!({"username": "frank1", "password": "Pa55word!"});
    let login = app.anonymous(Method::POST, "/v1/sessions").json(&frank).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::UNAUTHORIZED, "no user was signed up");
}

async fn a_request_that_names_two_hosts_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let status = async |head: &str| {
        let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text[9..12].to_owned()
    };
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\nhost: LOCALHOST:5000\r\n", "200"),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost:80\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", "400"),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n", "400"),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n", "400"),
    ] {
        assert_eq!(status(head).await, expected, "{head}");
    }
}

async fn internal_routes_require_the_service_token(backend: Backend) {
    let app = TestApp::start(backend).await;
    let user = app.log_in_as("alice").await;
    let id = TaskId::new();
    for path in [
        "/internal/v1/claims".to_owned(),
        "/internal/v1/reports".to_owned(),
        format!("/internal/v1/tasks/{id}/rows"),
        // A path that may exist one day.
        "/internal/v1/anything/else".to_owned(),
        "/internal".to_owned(),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let requests = [
                app.anonymous(method.clone(), &path),
                app.request_as("wrong", method.clone(), &path),
                app.request_as(&user, method.clone(), &path),
            ];
            for request in requests {
                let (status, body) = problem(request.send().await.unwrap()).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {body}");
            }
        }
    }
    let nothing = app.anonymous(Method::POST, "/internal/v1/anything/else");
    let nothing = nothing.bearer_auth(app.service_token()).send().await.unwrap();
    assert_eq!(problem(nothing).await.0, StatusCode::NOT_FOUND);
}
