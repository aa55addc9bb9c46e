//! Authorization of every route. The routes come from the OpenAPI document, so that none is missed.

use common::task::TaskState;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};
use super::tus::BYTES;

backend_tests![
    every_route_except_the_open_ones_requires_a_token,
    resources_of_other_users_are_404_on_every_route,
    users_see_only_their_own,
];

/// The routes without a token. A new one needs a good reason.
const OPEN: [&str; 4] = ["GET /healthz", "GET /readyz", "POST /v1/sessions", "POST /v1/users"];

/// Paths with parameters other than the id of a task.
const OTHER_PARAMETERS: [&str; 7] = [
    "/v1/schedules/{name}",
    "/v1/schedules/{name}/run",
    "/v1/user_events/generate/{n}",
    "/v1/users/{user_id}",
    "/v1/users/{user_id}/keys",
    "/v1/users/{user_id}/keys/{id}",
    "/v1/users/{user_id}/password",
];

/// Method and path of every documented route, and whether it requires a token.
fn routes() -> Vec<(Method, String, bool)> {
    let document = serde_json::to_value(task_manager::openapi_document()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                let asks = operation["security"] == serde_json::json!([{"bearer": []}]);
                routes.push((method, path.clone(), asks));
            }
        }
    }
    assert!(routes.len() > 15, "the document is read: {routes:?}");
    routes
}

async fn every_route_except_the_open_ones_requires_a_token(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut open = Vec::new();
    for (method, path, asks) in routes() {
        if !asks {
            open.push(format!("{method} {path}"));
            continue;
        }
        let path = path.replace("{id}", &Uuid::now_v7().to_string());
        let wrong = app.request_as("wrong", method.clone(), &path).send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        if backend == Backend::Fleet {
            let without = app.anonymous(method.clone(), &path).send().await.unwrap();
            assert_eq!(without.headers()["www-authenticate"], "Bearer", "{method} {path}");
            if method == Method::HEAD {
                assert_eq!(without.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                continue;
            }
            let (status, body) = problem(without).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(body["code"], "token_missing");
        }
    }
    open.sort();
    assert_eq!(open, OPEN);
    for path in ["/", "/docs/", "/openapi.json", "/healthz", "/readyz"] {
        let response = app.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

async fn resources_of_other_users_are_404_on_every_route(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let states = [TaskState::Processed, TaskState::Failed, TaskState::Stopped, TaskState::Killed];
    let mut tasks = Vec::new();
    for state in states {
        tasks.push((app.task_in(state).await, state));
    }
    let stranger = app.log_in_as("stranger").await;
    for (method, path, _) in routes().into_iter().filter(|(_, path, _)| path.contains('{')) {
        if OTHER_PARAMETERS.contains(&path.as_str()) {
            continue;
        }
        assert!(path.contains("{id}"), "{path}: name its parameter {{id}}, or list it here");
        for (id, state) in &tasks {
            let path = path.replace("{id}", &id.to_string());
            // The headers that requests to uploads need; the others ignore them.
            let request = app.request_as(&stranger, method.clone(), &path);
            let request = request.header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
            let request = request.header("Content-Type", BYTES);
            let request = request.header("X-HTTP-Method-Override", "PATCH");
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path} ({state})");
        }
    }
    for (id, state) in tasks {
        assert_eq!(app.state(id).await, state, "nothing was changed");
    }
}

async fn users_see_only_their_own(backend: Backend) {
    let app = TestApp::start(backend).await;
    let [alice, bobby] = [app.log_in_as("alice").await, app.log_in_as("bobby").await];
    let path = "/v1/data_processor/upload?file_name=songs.csv";
    let upload = app.request_as(&alice, Method::POST, path).body(SONGS).send().await.unwrap();
    let id = upload.json::<Value>().await.unwrap()["task_id"].as_str().unwrap().to_owned();
    let list = async |token: &str| -> Vec<String> {
        let list = app.request_as(token, Method::GET, "/v1/tasks").send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        let items = list["items"].as_array().unwrap();
        items.iter().map(|task| task["task_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list(&alice).await, [id]);
    assert!(list(&bobby).await.is_empty());
    assert!(app.list("").await.items.is_empty(), "nor do an administrator's lists show them");
}

#[tokio::test]
async fn without_a_login_foreign_hosts_and_origins_are_refused() {
    let app = TestApp::start(Backend::Standalone).await;
    let cases = [
        ("host", "evil.example", "foreign_host"),
        ("host", "localhost:5000.evil.example", "foreign_host"),
        ("host", "x@localhost", "foreign_host"),
        ("host", "[localhost]", "foreign_host"),
        ("origin", "https://evil.example", "foreign_origin"),
        ("origin", "null", "foreign_origin"),
        ("sec-fetch-site", "cross-site", "foreign_origin"),
    ];
    for (name, value, code) in cases {
        let path = "/v1/data_processor/upload?file_name=songs.csv";
        let request = app.request(Method::POST, path).header(name, value).body(SONGS);
        let (status, body) = problem(request.send().await.unwrap()).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::FORBIDDEN, &code.into()),
            "{name} {value}"
        );
    }
    for path in ["/v1/tasks", "/", "/openapi.json", "/docs/", "/nothing/here"] {
        let request = app.request(Method::GET, path).header("host", "evil.example");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert!(app.list("").await.items.is_empty());
    let own = format!("http://{}", app.address());
    let request = app.request(Method::GET, "/v1/tasks").header("origin", own);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn with_a_login_any_host_name_is_accepted() {
    let app = TestApp::start(Backend::Fleet).await;
    let request = app.request(Method::GET, "/v1/tasks").header("host", "tasks.example");
    let request = request.header("origin", "https://dashboard.example");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_standalone_server_can_require_a_login() {
    let app = TestApp::start_with(Backend::Standalone, |config| {
        config.login_required = common::config::Switch::True;
    })
    .await;
    let without = app.anonymous(Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.get("/v1/tasks").await.status(), StatusCode::OK);
}
