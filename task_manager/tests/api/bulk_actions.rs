//! Actions on many tasks, step by step.

use common::report::{Attempt, Event, Outcome, StepAnswer};
use common::task::{AcceptedTask, TaskId, TaskKind, TaskState, TaskView};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    tasks_that_match_are_acted_on_once,
    a_task_that_cannot_is_an_entry_of_the_result,
    given_ids_are_acted_on,
    a_dry_run_counts_and_changes_nothing,
    a_step_that_was_not_recorded_is_repeated,
    a_killed_bulk_action_continues_where_it_was,
    an_attempt_without_the_fence_acts_on_nothing,
    invalid_requests_are_named,
    a_repeated_request_creates_one_bulk_action,
    tasks_of_other_users_are_not_acted_on,
    nothing_is_done_for_a_disabled_user,
];

const PATH: &str = "/v1/tasks/actions";
/// Another file, whose upload resumes no task.
const OTHER: &str = "Song,Date,Number of Plays\nHello,2020-01-02,1\n";

async fn send(app: &TestApp, body: &Value) -> Response {
    app.request(Method::POST, PATH).json(body).send().await.unwrap()
}

/// Requests an action and claims its task.
async fn requested(app: &mut TestApp, body: Value) -> Attempt {
    let response = send(app, &body).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{body}");
    let accepted: AcceptedTask = response.json().await.unwrap();
    assert_eq!(accepted.task.kind, TaskKind::BulkAction);
    attempt_of(app, accepted.task.task_id).await
}

/// The next attempt of this task; messages of other tasks are dropped.
async fn attempt_of(app: &mut TestApp, id: TaskId) -> Attempt {
    loop {
        let delivery = app.delivery().await;
        if delivery.task_id == id {
            return app.claim_one(delivery).await;
        }
    }
}

async fn step(app: &TestApp, attempt: &Attempt) -> StepAnswer {
    let path = format!("/internal/v1/tasks/{}/steps", attempt.task_id);
    let request = app.internal_request(&path).json(&json!({"attempt": attempt.attempt}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json().await.unwrap()
}

/// Does all steps and completes the task, as its worker.
async fn finish(app: &TestApp, attempt: &Attempt) -> TaskView {
    while !step(app, attempt).await.is_complete {}
    let done = Event::Completed { result: Value::Null, output: None };
    assert_eq!(app.report(attempt, done).await, Outcome::Accepted);
    app.task(attempt.task_id).await
}

fn counts(task: &TaskView) -> (u64, u64, u64) {
    let result = task.result.as_ref().unwrap();
    let count = |name: &str| result[name].as_u64().unwrap();
    (count("matched"), count("done"), count("not_possible"))
}

async fn uploads(app: &TestApp, count: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(app.upload(SONGS).await.task.task_id);
    }
    ids
}

async fn assert_states(app: &TestApp, ids: &[TaskId], state: TaskState) {
    for id in ids {
        assert_eq!(app.state(*id).await, state, "{id}");
    }
}

/// Copies of the only task, beyond those of one step.
fn multiply(app: &TestApp, count: u32) {
    let random_id = match app.backend {
        Backend::Standalone => "randomblob(16)",
        Backend::Fleet => "UNHEX(REPLACE(UUID(), '-', ''))",
    };
    app.sql(&format!(
        "INSERT INTO tasks (id, owner, kind, state, spec, created_at, changed_at, queued_at) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT {random_id}, owner, kind, state, spec, created_at, changed_at, queued_at \
         FROM n, tasks"
    ));
}

async fn tasks_that_match_are_acted_on_once(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let processed = app.task_in(TaskState::Processed).await;
    app.sql("UPDATE tasks SET owner = X'0000000000004000800000000000000F'");
    app.upload(SONGS).await;
    app.sql("DELETE FROM tasks WHERE owner = X'0000000000004000800000000000000F'");
    multiply(&app, 449);
    let kill = json!({"action": "kill", "filter": {"state": ["queued", "processing"]}});
    let other = send(&app, &kill).await.json::<AcceptedTask>().await.unwrap().task.task_id;
    let attempt = requested(&mut app, kill).await;
    let later = app.upload(SONGS).await.task.task_id;
    assert!(!step(&app, &attempt).await.is_complete);
    let progress = app.task(attempt.task_id).await.progress.unwrap();
    assert_eq!((progress.unit.as_str(), progress.total), ("tasks", Some(450)));
    assert!((1..=200).contains(&progress.done), "{progress:?}");
    let task = finish(&app, &attempt).await;
    assert_eq!((task.state, counts(&task)), (TaskState::Processed, (450, 450, 0)));
    assert_eq!(app.list("?state=killed&page_size=1000").await.items.len(), 450);
    // Not the task that came later, nor bulk actions.
    assert_states(&app, &[later, other], TaskState::Queued).await;
    assert_eq!(app.get(&format!("/v1/tasks/{processed}")).await.status(), 404);
}

async fn a_task_that_cannot_is_an_entry_of_the_result(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let processed = app.task_in(TaskState::Processed).await;
    let failed = app.task_in(TaskState::Failed).await;
    let killed = app.task_in(TaskState::Killed).await;
    let attempt = requested(&mut app, json!({"action": "resume", "filter": {}})).await;
    let task = finish(&app, &attempt).await;
    assert_eq!(counts(&task), (3, 2, 1));
    assert_states(&app, &[failed, killed], TaskState::Queued).await;
    let errors = task.result.unwrap()["errors"].clone();
    let reason = "only a task that is killed or failed can be resumed";
    assert_eq!(errors, json!([{"task_id": processed, "state": "processed", "reason": reason}]));

    // Broken tasks can be deleted, and running ones cannot.
    let running = app.upload(OTHER).await.task.task_id;
    attempt_of(&mut app, running).await;
    app.sql(&format!("UPDATE tasks SET spec = '?' WHERE id = X'{}'", processed.0.simple()));
    let filter = json!({"state": ["processed", "processing"], "kind": ["csv_aggregation"]});
    let attempt = requested(&mut app, json!({"action": "delete", "filter": filter})).await;
    let task = finish(&app, &attempt).await;
    assert_eq!(counts(&task), (2, 1, 1));
    assert_eq!(task.result.unwrap()["errors"][0]["task_id"], json!(running));
    assert_eq!(app.get(&format!("/v1/tasks/{processed}")).await.status(), 404);
}

async fn given_ids_are_acted_on(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let ids = uploads(&app, 3).await;
    let missing = TaskId::new();
    let earlier = send(&app, &json!({"action": "kill", "ids": [missing]})).await;
    let earlier = earlier.json::<AcceptedTask>().await.unwrap().task.task_id;
    let given = json!({"action": "stop", "ids": [ids[0], ids[2], missing, earlier, ids[0]]});
    let attempt = requested(&mut app, given).await;
    let task = finish(&app, &attempt).await;
    assert_eq!(counts(&task), (4, 2, 2));
    let errors = task.result.unwrap()["errors"].clone();
    let about = |id: TaskId| {
        let error = errors.as_array().unwrap().iter().find(|it| it["task_id"] == json!(id));
        error.unwrap()["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(about(missing), "the task does not exist");
    assert_eq!(about(earlier), "bulk actions do not act on bulk actions");
    for id in [ids[0], ids[2]] {
        app.wait_for_state(id, TaskState::Stopped).await;
    }
    assert_states(&app, &[ids[1], earlier], TaskState::Queued).await;
}

async fn a_dry_run_counts_and_changes_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let processed = app.task_in(TaskState::Processed).await;
    let killed = app.task_in(TaskState::Killed).await;
    let queued = app.upload(OTHER).await.task.task_id;
    for (body, matches) in [
        (json!({"action": "kill", "filter": {}}), (3, 1)),
        (json!({"action": "stop", "filter": {}}), (3, 2)),
        (json!({"action": "delete", "filter": {"state": ["killed"]}}), (1, 1)),
        (json!({"action": "kill", "filter": {"state": "killed"}}), (1, 0)),
        (json!({"action": "stop", "filter": {"text": "none.csv"}}), (0, 0)),
        (json!({"action": "resume", "ids": [processed, killed, TaskId::new()]}), (2, 1)),
    ] {
        let mut dry = body.clone();
        dry["dry_run"] = json!(true);
        let response = send(&app, &dry).await;
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        let counted: Value = response.json().await.unwrap();
        assert_eq!(counted, json!({"matched": matches.0, "possible": matches.1}), "{body}");
    }
    let request = app.request(Method::POST, "/v1/tasks/actions").header("idempotency-key", "");
    let request = request.json(&json!({"action": "kill", "filter": {}, "dry_run": true}));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "the key is checked too");
    assert_eq!(app.list("").await.items.len(), 3);
    assert_states(&app, &[queued], TaskState::Queued).await;
}

/// A task manager dies after it has acted on tasks and before it has recorded that.
async fn a_step_that_was_not_recorded_is_repeated(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let ids = uploads(&app, 3).await;
    let filter = json!({"state": ["queued"]});
    let attempt = requested(&mut app, json!({"action": "kill", "filter": filter})).await;
    step(&app, &attempt).await;
    assert_states(&app, &ids, TaskState::Killed).await;
    let pending: Vec<String> = ids.iter().map(ToString::to_string).collect();
    app.sql(&format!(
        "UPDATE tasks SET checkpoint = '{}' WHERE kind = 'bulk_action'",
        json!({"after": null, "pending": pending})
    ));
    step(&app, &attempt).await;
    assert_eq!(app.task(attempt.task_id).await.progress.unwrap().done, 3);
    assert_eq!(counts(&finish(&app, &attempt).await), (3, 3, 0));
}

async fn a_killed_bulk_action_continues_where_it_was(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.upload(SONGS).await;
    multiply(&app, 249);
    let attempt = requested(&mut app, json!({"action": "kill", "filter": {}})).await;
    let id = attempt.task_id;
    step(&app, &attempt).await;
    app.interrupt(id, "kill").await;
    assert_eq!(step(&app, &attempt).await.outcome, Outcome::Kill);
    let killed = app.task(id).await;
    let (matched, done, _) = counts(&killed);
    assert!(matched == 250 && (1..=200).contains(&done), "{killed:?}");
    app.interrupt(id, "resume").await;
    let attempt = attempt_of(&mut app, id).await;
    // Another worker takes over.
    app.report(&attempt, Event::Released { checkpoint: Some(json!({"done": 7})) }).await;
    let attempt = attempt_of(&mut app, id).await;
    assert_eq!(counts(&finish(&app, &attempt).await), (250, 250, 0));
}

async fn an_attempt_without_the_fence_acts_on_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let ids = uploads(&app, 2).await;
    let mut attempt = requested(&mut app, json!({"action": "kill", "filter": {}})).await;
    attempt.attempt += 1;
    assert_eq!(step(&app, &attempt).await.outcome, Outcome::LeaseLost);
    attempt.attempt -= 1;
    app.interrupt(attempt.task_id, "stop").await;
    let answer = step(&app, &attempt).await;
    assert!(matches!(answer.outcome, Outcome::Stop), "{answer:?}");
    assert_states(&app, &ids, TaskState::Queued).await;
    app.wait_for_state(attempt.task_id, TaskState::Stopped).await;
}

async fn invalid_requests_are_named(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (body, field) in [
        (json!({"action": "kill"}), "filter"),
        (json!({"action": "kill", "filter": {}, "ids": [TaskId::new()]}), "filter"),
        (json!({"action": "kill", "ids": []}), "ids"),
        (json!({"action": "kill", "ids": vec![TaskId::new(); 1_001]}), "ids"),
        (json!({"action": "kill", "filter": {"state": ["done"]}}), "state"),
        (json!({"action": "kill", "filter": {"state": {}}}), "state"),
        (json!({"action": "kill", "filter": {"page_size": 1}}), "page_size"),
        (json!({"action": "kill", "filter": {"from": "yesterday"}}), "from"),
    ] {
        let (status, problem) = problem(send(&app, &body).await).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["field"]), (422, &json!(field)));
    }
    let (status, _) = problem(send(&app, &json!({"action": "pause", "filter": {}})).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(app.list("").await.items.is_empty());
}

async fn a_repeated_request_creates_one_bulk_action(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send = async |body: Value| {
        let request = app.request(Method::POST, PATH).header("Idempotency-Key", "once");
        request.json(&body).send().await.unwrap()
    };
    let kill = json!({"action": "kill", "filter": {}});
    let first: AcceptedTask = send(kill.clone()).await.json().await.unwrap();
    let second: AcceptedTask = send(kill).await.json().await.unwrap();
    assert_eq!(first.task.task_id, second.task.task_id);
    assert_eq!(app.list("?kind=bulk_action").await.items.len(), 1);
    let other = problem(send(json!({"action": "stop", "filter": {}})).await).await;
    assert_eq!(other.1["code"], "idempotency_key_reused");
}

async fn tasks_of_other_users_are_not_acted_on(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let foreign = app.upload(SONGS).await.task.task_id;
    app.sql("UPDATE tasks SET owner = X'0000000000004000800000000000000F'");
    for selection in [json!({"filter": {}}), json!({"ids": [foreign]})] {
        let mut body = selection;
        body["action"] = json!("kill");
        let attempt = requested(&mut app, body).await;
        let (_, done, _) = counts(&finish(&app, &attempt).await);
        assert_eq!(done, 0);
    }
    let queued = format!(
        "UPDATE tasks SET progress = NULL WHERE state = 'queued' AND id = X'{}'",
        foreign.0.simple()
    );
    assert_eq!(app.sql(&queued), 1);
}

async fn nothing_is_done_for_a_disabled_user(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let alice = app.log_in_as("alice").await;
    let upload = "/v1/data_processor/upload?file_name=songs.csv";
    let upload = app.request_as(&alice, Method::POST, upload).body(SONGS).send().await.unwrap();
    let task = upload.json::<AcceptedTask>().await.unwrap().task.task_id;
    let body = json!({"action": "kill", "filter": {}});
    let request = app.request_as(&alice, Method::POST, PATH).json(&body);
    let accepted: AcceptedTask = request.send().await.unwrap().json().await.unwrap();
    let attempt = attempt_of(&mut app, accepted.task.task_id).await;
    let set = |is_disabled: &str| {
        app.sql(&format!("UPDATE users SET disabled = {is_disabled} WHERE username = 'alice'"))
    };
    set("TRUE");
    let path = format!("/internal/v1/tasks/{}/steps", attempt.task_id);
    let request = app.internal_request(&path).json(&json!({"attempt": attempt.attempt}));
    let (status, refused) = problem(request.send().await.unwrap()).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("user_disabled")));
    let is_queued = format!(
        "UPDATE tasks SET failures = 0 WHERE state = 'queued' AND id = X'{}'",
        task.0.simple()
    );
    assert_eq!(app.sql(&is_queued), 1);
    set("FALSE");
    while !step(&app, &attempt).await.is_complete {}
    assert_eq!(app.sql(&is_queued), 0, "it continues once the user is enabled");
}
