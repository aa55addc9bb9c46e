//! Ended tasks are run again from their stored file.

use common::storage::ObjectKey;
use common::task::spec::TaskSpec;
use common::task::{AcceptedTask, TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests, bucket};

backend_tests![
    an_ended_task_is_run_again_without_an_upload,
    a_task_in_a_bucket_is_run_again,
    given_parameters_replace_those_of_the_earlier_task,
    invalid_parameters_create_no_task,
    a_task_that_cannot_be_run_again_says_why,
    a_repeated_request_creates_one_task,
];

fn path(id: TaskId) -> String {
    format!("/v1/tasks/{id}/run_again")
}

async fn run_again(app: &TestApp, id: TaskId, body: Value) -> AcceptedTask {
    let request = app.request(Method::POST, &path(id)).json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    response.json().await.unwrap()
}

async fn refused(app: &TestApp, id: TaskId, body: Value) -> (u16, Value) {
    let request = app.request(Method::POST, &path(id)).json(&body);
    let (status, body) = problem(request.send().await.unwrap()).await;
    (status.as_u16(), body)
}

async fn assert_runs_again(app: &mut TestApp) {
    for state in [TaskState::Processed, TaskState::Failed, TaskState::Stopped, TaskState::Killed] {
        let id = app.task_in(state).await;
        let link = app.task(id).await.links.run_again.unwrap();
        let response = app.post(&link).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let accepted: AcceptedTask = response.json().await.unwrap();
        let new = &accepted.task;
        assert_ne!(new.task_id, id, "a task that is {state} is not resumed");
        assert_eq!((accepted.resumed, new.file_name.as_deref()), (false, Some("songs.csv")));
        assert_eq!((new.size, new.links.run_again.as_ref()), (Some(SONGS.len() as u64), None));
        assert_eq!(app.state(id).await, state);

        // The new task needs nothing of the earlier one.
        let deleted = app.request(Method::DELETE, &format!("/v1/tasks/{id}")).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        let attempt = app.next_attempt().await;
        assert_eq!(attempt.task_id, new.task_id);
        let input = app.storage.open(ObjectKey::Input(new.task_id), None).await.unwrap();
        assert_eq!(input.size(), SONGS.len() as u64);
        app.complete(&attempt, "sums").await;
        assert_eq!(app.state(new.task_id).await, TaskState::Processed);
    }
}

async fn an_ended_task_is_run_again_without_an_upload(backend: Backend) {
    assert_runs_again(&mut TestApp::start(backend).await).await;
}

async fn a_task_in_a_bucket_is_run_again(backend: Backend) {
    assert_runs_again(&mut TestApp::start_with(backend, |config| config.storage = bucket()).await)
        .await;
}

async fn given_parameters_replace_those_of_the_earlier_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = app.upload_with("&group_by=Song&on_bad_row=skip", SONGS).await.task.task_id;
    let attempt = app.next_attempt().await;
    app.complete(&attempt, "sums").await;
    run_again(&app, first, json!({"parameters": {"group_by": ["Date", "Song"]}})).await;
    let TaskSpec::CsvAggregation(spec) = app.next_attempt().await.spec else { panic!() };
    assert_eq!(spec.group_by, ["Date", "Song"]);
    assert_eq!(serde_json::to_value(spec.on_bad_row).unwrap(), "skip");
    run_again(&app, first, json!({"parameters": {"group_by": null}})).await;
    let TaskSpec::CsvAggregation(spec) = app.next_attempt().await.spec else { panic!() };
    assert!(spec.has_default_grouping());
}

async fn invalid_parameters_create_no_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    for (parameters, field) in [
        (json!({"colour": "red"}), "colour"),
        (json!({"group_by": {}}), "group_by"),
        (json!({"sum": ["Song"]}), "sum"),
    ] {
        let (status, body) = refused(&app, id, json!({"parameters": parameters})).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!(field)));
    }
    assert_eq!(refused(&app, id, json!({"parameter": {}})).await.0, 400);
    assert_eq!(app.list("").await.items.len(), 1);
}

async fn a_task_that_cannot_be_run_again_says_why(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for state in [TaskState::Queued, TaskState::Processing] {
        let id = app.task_in(state).await;
        let (status, body) = refused(&app, id, json!({})).await;
        assert_eq!((status, &body["code"]), (409, &json!("invalid_state")));
    }
    let id = app.task_in(TaskState::Processed).await;
    let removed = format!("UPDATE tasks SET files_removed = 1 WHERE id = X'{}'", id.0.simple());
    assert_eq!(app.sql(&removed), 1);
    assert_eq!(app.task(id).await.links.run_again, None);
    assert_eq!(refused(&app, id, json!({})).await.1["code"], "expired");
    let id = app.task_in(TaskState::Processed).await;
    std::fs::remove_dir_all(app.folder.path().join("local_storage")).unwrap();
    assert_eq!(refused(&app, id, json!({})).await.0, 410);
    assert_eq!(app.list("?state=initializing").await.items.len(), 0);

    let message = json!({"message": "hi"});
    let message = app.request(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    let message: Value = message.json().await.unwrap();
    let id: TaskId = message["task_id"].as_str().unwrap().parse().unwrap();
    let (status, body) = refused(&app, id, json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!("no_input")));
    assert!(body["detail"].as_str().unwrap().contains("POST /v1/messages"), "{body}");
}

async fn a_repeated_request_creates_one_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    let send = async |body: Value| {
        let request = app.request(Method::POST, &path(id)).header("Idempotency-Key", "again");
        request.json(&body).send().await.unwrap()
    };
    let first: AcceptedTask = send(json!({})).await.json().await.unwrap();
    let second: AcceptedTask = send(json!({})).await.json().await.unwrap();
    assert_eq!(first.task.task_id, second.task.task_id);
    assert_eq!(app.list("").await.items.len(), 2);
    let other = problem(send(json!({"parameters": {"on_bad_row": "skip"}})).await).await;
    assert_eq!(other.1["code"], "idempotency_key_reused");
}
