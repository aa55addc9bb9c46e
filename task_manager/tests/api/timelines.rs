//! The phases of tasks.

use common::report::Event;
use common::task::TaskState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp};
use super::backend::{Backend, backend_tests};

backend_tests![
    each_attempt_is_a_phase,
    an_interrupt_ends_the_wait_in_the_queue,
    a_resumed_task_was_not_queued_while_it_was_killed,
    the_last_attempt_is_shown_without_its_entry,
    a_task_without_a_file_has_no_upload,
    a_task_names_its_worker_parameters_and_duration,
];

async fn timeline(app: &TestApp, id: common::task::TaskId) -> Value {
    let response = app.get(&format!("/v1/tasks/{id}/timeline")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// The names and outcomes of the phases.
fn phases(timeline: &Value) -> Vec<(String, Value)> {
    let phase = |phase: &Value| (name(phase), phase["outcome"].clone());
    timeline["phases"].as_array().unwrap().iter().map(phase).collect()
}

fn name(phase: &Value) -> String {
    let attempt = phase["attempt"].as_u64().map(|attempt| attempt.to_string());
    format!("{}{}", phase["phase"].as_str().unwrap(), attempt.unwrap_or_default())
}

fn named(phases: &[(&str, Value)]) -> Vec<(String, Value)> {
    phases.iter().map(|(name, outcome)| ((*name).to_owned(), outcome.clone())).collect()
}

async fn each_attempt_is_a_phase(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.report_all(Vec::new()).await;
    let first = app.processing_task().await;
    app.report(&first, Event::Released { checkpoint: None }).await;
    let second = app.next_attempt().await;
    let reason = Some("the disk is full".to_owned());
    app.report(
        &second,
        Event::Retry { after: Some(0.0), checkpoint: None, reason, waits_for: None },
    )
    .await;
    let third = app.next_attempt().await;
    let running = timeline(&app, third.task_id).await;
    let expected = [
        ("initializing", Value::Null),
        ("queued", Value::Null),
        ("attempt1", json!("released")),
        ("queued", Value::Null),
        ("attempt2", json!("retry")),
        ("queued", Value::Null),
        ("attempt3", Value::Null),
    ];
    assert_eq!(phases(&running), named(&expected));
    let list = running["phases"].as_array().unwrap();
    for (phase, next) in list.iter().zip(&list[1..]) {
        assert_eq!(phase["to"], next["from"], "{phase} {next}");
    }
    assert_eq!(list[4]["reason"], "the disk is full");
    assert_eq!(list[4]["worker"]["name"], "test");
    assert_eq!((&list[6]["to"], &list[6]["worker"]["name"]), (&Value::Null, &json!("test")));
    assert_eq!(running["heartbeat_at"], list[6]["from"], "a claim is the first heartbeat");

    app.complete(&third, "Song\n").await;
    let ended = timeline(&app, third.task_id).await;
    let last = ended["phases"].as_array().unwrap().last().unwrap();
    assert_eq!((name(last), &last["outcome"]), ("attempt3".to_owned(), &json!("completed")));
    let task: Value = app.get(&format!("/v1/tasks/{}", third.task_id)).await.json().await.unwrap();
    assert_eq!(last["to"], task["finished_at"]);
    assert_eq!((&ended["heartbeat_at"], &task["heartbeat_at"]), (&Value::Null, &Value::Null));
}

async fn an_interrupt_ends_the_wait_in_the_queue(backend: Backend) {
    let app = TestApp::start(backend).await;
    let id = app.upload(SONGS).await.task.task_id;
    let queued = timeline(&app, id).await;
    assert_eq!(phases(&queued), named(&[("initializing", Value::Null), ("queued", Value::Null)]));
    assert_eq!(queued["phases"][1]["to"], Value::Null);
    app.interrupt(id, "stop").await;
    app.wait_for_state(id, TaskState::Stopped).await;
    let stopped = timeline(&app, id).await;
    let expected = [
        ("initializing", Value::Null),
        ("queued", json!("stopped")),
        ("stopping", json!("stopped")),
    ];
    assert_eq!(phases(&stopped), named(&expected));
    assert_eq!(stopped["phases"][1]["to"], stopped["phases"][2]["from"]);
    assert!(stopped["phases"][2]["to"].is_string());
}

async fn a_resumed_task_was_not_queued_while_it_was_killed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Killed).await;
    let killed = timeline(&app, id).await;
    let until_killed =
        [("initializing", Value::Null), ("queued", Value::Null), ("attempt1", json!("killed"))];
    assert_eq!(phases(&killed), named(&until_killed));
    app.interrupt(id, "resume").await;
    let resumed = timeline(&app, id).await;
    let wait = [("queued", Value::Null)];
    assert_eq!(phases(&resumed), named(&[until_killed.as_slice(), &wait].concat()));
    assert!(resumed["phases"][2]["to"].as_str() < resumed["phases"][3]["from"].as_str());
    let upload = |timeline: &Value| timeline["phases"][0].clone();
    assert_eq!(upload(&resumed), upload(&killed), "the upload ended when it did");
}

/// Retention removes the entries of attempts together with the files.
async fn the_last_attempt_is_shown_without_its_entry(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Failed).await;
    let before = timeline(&app, id).await;
    app.sql("DELETE FROM task_attempts");
    let after = timeline(&app, id).await;
    assert_eq!(after["phases"], before["phases"]);
    assert_eq!(after["phases"][2]["reason"], "One of them.");
}

async fn a_task_without_a_file_has_no_upload(backend: Backend) {
    let app = TestApp::start(backend).await;
    let request = app.request(Method::POST, "/v1/messages").json(&json!({"message": "hello"}));
    let accepted: Value = request.send().await.unwrap().json().await.unwrap();
    let id = accepted["task_id"].as_str().unwrap().parse().unwrap();
    let timeline = timeline(&app, id).await;
    assert_eq!(phases(&timeline), named(&[("queued", Value::Null)]));
    assert_eq!(timeline["phases"][0]["from"], accepted["created_at"]);
    assert_eq!(accepted["parameters"], Value::Null);
}

async fn a_task_names_its_worker_parameters_and_duration(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.report_all(Vec::new()).await;
    let query = "&group_by=Song&sum=Number+of+Plays&on_bad_row=skip";
    let uploaded = app.upload_with(query, SONGS).await.task;
    let parameters =
        json!({"group_by": ["Song"], "sum": ["Number of Plays"], "on_bad_row": "skip"});
    assert_eq!(uploaded.parameters, Some(parameters.clone()));
    assert_eq!((uploaded.worker, uploaded.duration), (None, None));
    assert_eq!(uploaded.links.delete, None, "only an ended task can be deleted");

    let attempt = app.next_attempt().await;
    let running = app.task(attempt.task_id).await;
    let worker = running.worker.unwrap();
    assert_eq!(worker.name.as_deref(), Some("test"));
    assert_eq!(running.heartbeat_at, running.started_at);
    assert!(running.duration.is_some_and(|seconds| seconds >= 0.0));

    app.report(&attempt, Event::Released { checkpoint: None }).await;
    let queued = app.task(attempt.task_id).await;
    assert_eq!((queued.worker.as_ref(), queued.heartbeat_at), (Some(&worker), None));

    let attempt = app.next_attempt().await;
    app.complete(&attempt, "Song\n").await;
    let ended = app.task(attempt.task_id).await;
    let took = ended.finished_at.unwrap() - ended.started_at.unwrap();
    let seconds = took.num_microseconds().unwrap() as f64 / 1e6;
    assert_eq!(ended.duration, Some(seconds));
    assert_eq!(ended.parameters, Some(parameters));
    assert_eq!(ended.links.delete, Some(ended.links.this));
}
