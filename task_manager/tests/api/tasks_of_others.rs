//! Administrators see and manage the tasks of all users.

use common::report::{Event, Outcome};
use common::task::TaskState;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp};
use super::backend::{Backend, backend_tests};

backend_tests![
    an_administrator_lists_and_counts_tasks_of_all_users,
    an_administrator_manages_tasks_of_others,
    results_stay_with_their_owner,
    rows_of_a_preview_stay_with_their_owner,
    other_users_see_only_their_own,
];

/// A user with a task: the user's token, and the task as the user sees it.
async fn other_user(app: &TestApp) -> (String, Value) {
    let token = app.log_in_as("alice42").await;
    let path = "/v1/data_processor/upload?file_name=alice.csv";
    let request = app.request_as(&token, Method::POST, path).body(SONGS);
    let task: Value = request.send().await.unwrap().json().await.unwrap();
    (token, task)
}

async fn json_of(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|task| task["owner"]["username"].as_str().unwrap()).collect()
}

async fn an_administrator_lists_and_counts_tasks_of_all_users(backend: Backend) {
    let app = TestApp::start(backend).await;
    let me = if backend == Backend::Fleet { "tester" } else { "local" };
    app.upload(SONGS).await;
    let (_, task) = other_user(&app).await;
    assert_eq!(names(&json_of(&app, "/v1/tasks").await), [me]);
    let all = json_of(&app, "/v1/tasks?all=true").await;
    assert_eq!(names(&all), ["alice42", me]);
    let first = json_of(&app, "/v1/tasks?all=true&page_size=1").await;
    let token = first["next_page_token"].as_str().unwrap();
    let second = json_of(&app, &format!("/v1/tasks?all=true&page_size=1&page_token={token}")).await;
    assert_eq!((names(&first), names(&second)), (vec!["alice42"], vec![me]));
    assert_eq!(second["next_page_token"], Value::Null);

    let id = all["items"][0]["owner"]["user_id"].as_str().unwrap();
    let of_other = json_of(&app, &format!("/v1/tasks?user_id={id}")).await;
    assert_eq!(of_other["items"][0]["task_id"], task["task_id"]);
    for (scope, expected) in [("all=true", 2), ("all=false", 1), (&format!("user_id={id}"), 1)] {
        let counts = json_of(&app, &format!("/v1/tasks/counts?{scope}")).await;
        assert_eq!(counts["total"], expected, "{scope}");
    }
    let both = app.get(&format!("/v1/tasks?all=true&user_id={id}")).await;
    assert_eq!(both.status(), 422);
}

async fn an_administrator_manages_tasks_of_others(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (token, task) = other_user(&app).await;
    assert_eq!(task["owner"], Value::Null);
    let path = task["links"]["self"].as_str().unwrap();
    let id = task["task_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(json_of(&app, path).await["owner"]["username"], "alice42");
    let timeline = json_of(&app, &format!("{path}/timeline")).await;
    assert_eq!(timeline["phases"][1]["phase"], "queued");

    let killed = app.interrupt(id, "kill").await;
    assert_eq!((killed.0, &killed.1["state"]), (StatusCode::OK, &json!("killed")));
    let events = app.get(&format!("{path}/events")).await.text().await.unwrap();
    let event = events.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        (&event["state"], &event["owner"]["username"]),
        (&json!("killed"), &json!("alice42"))
    );

    let own = app.request_as(&token, Method::GET, path).send().await.unwrap();
    let own: Value = own.json().await.unwrap();
    assert_eq!((&own["state"], &own["owner"]), (&json!("killed"), &Value::Null));
    let deleted = app.request(Method::DELETE, path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(app.get(path).await.status(), StatusCode::NOT_FOUND);
}

async fn results_stay_with_their_owner(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let (token, task) = other_user(&app).await;
    let attempt = app.next_attempt().await;
    app.complete(&attempt, "Song\n").await;
    let path = task["links"]["self"].as_str().unwrap();
    assert_eq!(json_of(&app, path).await["links"]["download"], Value::Null);
    let all = json_of(&app, "/v1/tasks?all=true").await;
    assert_eq!(all["items"][0]["links"]["download"], Value::Null);
    let own = app.request_as(&token, Method::GET, path).send().await.unwrap();
    let download = own.json::<Value>().await.unwrap()["links"]["download"].clone();
    let download = download.as_str().unwrap();
    assert_eq!(app.get(download).await.status(), StatusCode::NOT_FOUND);
    let own = app.request_as(&token, Method::GET, download).send().await.unwrap();
    assert_eq!(own.text().await.unwrap(), "Song\n");
    let mine = app.task_in(TaskState::Processed).await;
    assert!(json_of(&app, &format!("/v1/tasks/{mine}")).await["links"]["download"].is_string());
}

async fn rows_of_a_preview_stay_with_their_owner(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let token = app.log_in_as("alice42").await;
    let form = Form::new().part("file", Part::text(SONGS).file_name("songs.csv"));
    let upload = app.request_as(&token, Method::POST, "/v1/csv_previews").multipart(form);
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let attempt = app.next_attempt().await;
    let result = json!({
        "columns": [{"name": "Song", "type": "text", "value_count": 1, "empty_count": 0}],
        "column_count": 1, "rows": [["Umbrella"]], "row_count": 1, "irregular_row_count": 0,
    });
    let done = Event::Completed { result, output: None };
    assert_eq!(app.report(&attempt, done).await, Outcome::Accepted);
    let path = format!("/v1/tasks/{}", attempt.task_id);
    let seen = json_of(&app, &path).await;
    assert_eq!((&seen["result"]["rows"], &seen["result"]["row_count"]), (&json!([]), &json!(1)));
    let all = json_of(&app, "/v1/tasks?all=true").await;
    assert_eq!(all["items"][0]["result"]["rows"], json!([]));
    let own = app.request_as(&token, Method::GET, &path).send().await.unwrap();
    assert_eq!(own.json::<Value>().await.unwrap()["result"]["rows"], json!([["Umbrella"]]));
}

async fn other_users_see_only_their_own(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Failed).await;
    let (token, task) = other_user(&app).await;
    let owner = json_of(&app, task["links"]["self"].as_str().unwrap()).await["owner"].clone();
    let own = format!("user_id={}", owner["user_id"].as_str().unwrap());
    let other = format!("user_id={}", uuid::Uuid::now_v7());
    for route in ["", "/counts", "/failures", "/throughput"] {
        let cases = [("all=true", 403), (other.as_str(), 404), (own.as_str(), 200), ("", 200)];
        for (scope, status) in cases {
            let path = format!("/v1/tasks{route}?{scope}");
            let response = app.request_as(&token, Method::GET, &path).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }
    let failures = app.request_as(&token, Method::GET, "/v1/tasks/failures").send().await.unwrap();
    assert_eq!(failures.json::<Value>().await.unwrap()["items"], json!([]));
}
