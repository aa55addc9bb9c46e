//! Rows that this version cannot read: of a kind or state of another version, or broken. They
//! affect no other rows.

use common::report::{Attempt, Claim, ClaimedDelivery, Outcome, Report};
use common::task::{TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp, eventually, failed, heartbeat, problem};
use super::backend::{Backend, backend_tests};
use super::loads;

backend_tests![
    tasks_of_another_version_are_skipped_and_delay_no_other,
    a_task_of_another_version_is_listed_and_can_be_deleted,
    a_task_in_a_state_of_another_version_hides_no_other,
    claiming_a_broken_task_fails_only_that_task,
    broken_tasks_fail_in_every_state_and_delay_no_other,
    viewing_a_broken_task_fails_it,
    a_broken_task_can_be_deleted_or_resumed_once_readable,
    unreadable_outbox_rows_delay_no_other,
    workers_and_schedules_of_another_version_hide_no_other,
    a_stored_answer_of_another_version_is_not_a_server_error,
];

const FOREIGN: &str = r#"{"kind": "thumbnail", "width": 64}"#;
const BROKEN: &str = r#"{"kind": "csv_aggregation", "group_by": 7}"#;
const PAST: &str = "'2020-01-01 00:00:00'";

/// The columns of a row that differ from those of other tasks.
#[derive(Clone, Copy)]
struct StoredRow<'a> {
    kind: &'a str,
    state: &'a str,
    spec: &'a str,
    /// More columns with their SQL.
    more: &'a [(&'a str, &'a str)],
}

const FOREIGN_QUEUED: StoredRow<'_> =
    StoredRow { kind: "thumbnail", state: "queued", spec: FOREIGN, more: &[] };
const BROKEN_QUEUED: StoredRow<'_> =
    StoredRow { kind: "csv_aggregation", state: "queued", spec: BROKEN, more: &[] };

/// Stores a task of the caller like another version, or damaged.
fn store(app: &TestApp, owner_of: TaskId, stored: StoredRow<'_>) -> TaskId {
    let id = TaskId::new();
    let StoredRow { kind, state, spec, more } = stored;
    let names: String = more.iter().map(|(name, _)| format!(", {name}")).collect();
    let values: String = more.iter().map(|(_, value)| format!(", {value}")).collect();
    let (hex, owner_of) = (id.0.simple(), owner_of.0.simple());
    let inserted = app.sql(&format!(
        "INSERT INTO tasks (id, owner, kind, state, spec, dispatch, attempt, file_name, created_at, \
         changed_at, queued_at, dispatched_at{names}) \
         SELECT X'{hex}', owner, '{kind}', '{state}', '{spec}', 1, 1, 'old.csv', created_at, changed_at, \
         {PAST}, {PAST}{values} FROM tasks WHERE id = X'{owner_of}'"
    ));
    assert_eq!(inserted, 1);
    id
}

/// Makes the relay publish the task.
fn add_to_outbox(app: &TestApp, id: TaskId, kind: &str) {
    let id = id.0.simple();
    app.sql(&format!(
        "INSERT INTO outbox (task_id, kind, dispatch, due_at) VALUES (X'{id}', '{kind}', 1, {PAST})"
    ));
}

fn set(app: &TestApp, id: TaskId, what: &str) {
    let id = id.0.simple();
    assert_eq!(app.sql(&format!("UPDATE tasks SET {what} WHERE id = X'{id}'")), 1);
}

async fn json_of(app: &TestApp, id: TaskId) -> Value {
    let response = app.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn listed(app: &TestApp) -> Vec<Value> {
    let response = app.get("/v1/tasks?page_size=10000").await;
    assert_eq!(response.status(), StatusCode::OK);
    let list: Value = response.json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

async fn delete(app: &TestApp, id: TaskId) -> StatusCode {
    app.request(Method::DELETE, &format!("/v1/tasks/{id}")).send().await.unwrap().status()
}

/// Claims the tasks in one batch, the readable one last.
async fn claim_behind(app: &TestApp, unreadable: &[TaskId], readable: ClaimedDelivery) {
    let delivery = |id: &TaskId| ClaimedDelivery { task_id: *id, dispatch: 1 };
    let mut deliveries: Vec<_> = unreadable.iter().map(delivery).collect();
    deliveries.push(readable);
    let mut claims = app.claim(deliveries).await;
    assert!(matches!(claims.pop(), Some(Claim::Attempt(_))));
    for claim in claims {
        assert!(matches!(claim, Claim::Refused { .. }), "{claim:?}");
    }
}

/// Asserts that every part of the task manager still works: relay, claims, reports, leases,
/// rollbacks, interrupts and lists.
async fn assert_others_are_served(app: &mut TestApp) {
    let attempt = app.processing_task().await;
    let id = attempt.task_id;
    assert_eq!(app.report(&attempt, heartbeat()).await, Outcome::Continue);
    set(app, id, &format!("leased_until = {PAST}"));
    let next = app.next_attempt().await;
    assert_eq!((next.task_id, next.attempt), (id, 2), "its lease was lost");
    assert_eq!(app.interrupt(id, "stop").await.0, StatusCode::ACCEPTED);
    app.wait_for_state(id, TaskState::Stopped).await;
    assert_eq!(delete(app, id).await, StatusCode::NO_CONTENT);
    eventually("the deleted task is removed", || async {
        let id = id.0.simple();
        (app.sql(&format!("UPDATE tasks SET failures = 0 WHERE id = X'{id}'")) == 0).then_some(())
    })
    .await;
}

async fn quick(backend: Backend) -> TestApp {
    let quick = |config: &mut task_manager::config::Config| {
        config.sweep_interval = std::time::Duration::from_secs(1);
    };
    TestApp::start_with(backend, quick).await
}

async fn tasks_of_another_version_are_skipped_and_delay_no_other(backend: Backend) {
    let mut app = quick(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    let delivery = app.delivery().await;
    let old = &[("leased_until", PAST)][..];
    let ended = &[("finished_at", PAST)][..];
    let gone = &[("finished_at", PAST), ("files_removed", "TRUE")][..];
    let deleted = &[("finished_at", PAST), ("deleted", "TRUE")][..];
    let mut left_alone = Vec::new();
    for (state, more) in [
        ("queued", &[][..]),
        ("initializing", old),
        ("processing", old),
        ("stopping", &[][..]),
        ("processed", ended),
        ("failed", gone),
        ("killed", deleted),
    ] {
        let id = store(&app, good, StoredRow { state, more, ..FOREIGN_QUEUED });
        left_alone.push((id, state, more));
    }
    let queued = left_alone[0].0;
    add_to_outbox(&app, queued, "thumbnail");

    let ids: Vec<TaskId> = left_alone.iter().map(|(id, ..)| *id).collect();
    claim_behind(&app, &ids, delivery).await;
    let report = |id| Report { task_id: id, attempt: 1, event: failed() };
    let outcomes = app.report_all(vec![report(ids[2]), report(good)]).await;
    assert!(matches!(outcomes[0], Outcome::Rejected { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Accepted);
    // Expired, among expired ones of the other version.
    set(&app, good, &format!("finished_at = {PAST}"));
    eventually("the old task is removed", || async {
        (app.get(&format!("/v1/tasks/{good}")).await.status() == StatusCode::NOT_FOUND)
            .then_some(())
    })
    .await;
    assert_others_are_served(&mut app).await;

    for (id, state, more) in left_alone {
        let id = id.0.simple();
        let same = more.iter().map(|(name, value)| format!(" AND {name} = {value}"));
        let same: String = same.collect();
        let found = app.sql(&format!(
            "UPDATE tasks SET failures = 1 WHERE id = X'{id}' AND kind = 'thumbnail' AND state = '{state}' \
             AND error IS NULL{same}"
        ));
        assert_eq!(found, 1, "{state} is unchanged");
    }
    assert_eq!(app.sql("UPDATE outbox SET dispatch = 2"), 1, "its row waits for another version");
}

async fn a_task_of_another_version_is_listed_and_can_be_deleted(backend: Backend) {
    let app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    let queued = store(&app, good, FOREIGN_QUEUED);
    add_to_outbox(&app, queued, "thumbnail");
    let lease = app.time(chrono::TimeDelta::minutes(5));
    let more = [("leased_until", lease.as_str())];
    let held = store(&app, good, StoredRow { state: "processing", more: &more, ..FOREIGN_QUEUED });

    let items = listed(&app).await;
    assert_eq!(items.len(), 3);
    let shown = json_of(&app, queued).await;
    for (name, value) in [
        ("kind", json!("thumbnail")),
        ("state", json!("queued")),
        ("file_name", json!("old.csv")),
        ("error", Value::Null),
        ("result", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name}");
        let listed = items.iter().find(|item| item["task_id"] == json!(queued)).unwrap();
        assert_eq!(listed[name], value, "{name}");
    }
    for verb in ["stop", "kill", "resume"] {
        let (status, body) = app.interrupt(queued, verb).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("unreadable_task")));
        assert!(body["detail"].as_str().unwrap().contains("thumbnail"), "{body}");
    }
    for path in ["data_processor/download", "data_processor/rejected", "tasks/status"] {
        let status = app.get(&format!("/v1/{path}/{queued}")).await.status();
        let expected = if path == "tasks/status" { StatusCode::OK } else { StatusCode::CONFLICT };
        assert_eq!(status, expected, "{path}");
    }
    assert_eq!(delete(&app, held).await, StatusCode::CONFLICT, "it has a lease");
    assert_eq!(delete(&app, queued).await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&app, queued).await, StatusCode::NOT_FOUND);
    assert_eq!(listed(&app).await.len(), 2);
    set(&app, held, &format!("leased_until = {PAST}"));
    assert_eq!(delete(&app, held).await, StatusCode::NO_CONTENT);
    // Only a version that knows its kind knows its data.
    let left = app.sql("UPDATE tasks SET failures = 1 WHERE kind = 'thumbnail'");
    assert_eq!(left, 2, "another version removes them");
}

async fn a_task_in_a_state_of_another_version_hides_no_other(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    app.delivery().await;
    let paused = StoredRow { state: "paused", ..BROKEN_QUEUED };
    let paused = store(&app, good, StoredRow { spec: r#"{"kind": "csv_aggregation"}"#, ..paused });
    add_to_outbox(&app, paused, "csv_aggregation");
    let items = listed(&app).await;
    assert_eq!(items.len(), 1, "{items:?}");
    let (status, body) = problem(app.get(&format!("/v1/tasks/{paused}")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("unreadable_task")));
    assert!(body["detail"].as_str().unwrap().contains("`paused`"), "{body}");
    let delivery = app.delivery().await;
    assert_eq!(delivery.task_id, paused);
    assert!(matches!(app.claim(vec![delivery]).await[0], Claim::Refused { .. }));
    assert_eq!(app.get(&format!("/v1/tasks/{paused}/events")).await.status(), StatusCode::CONFLICT);
    assert_others_are_served(&mut app).await;
    assert_eq!(delete(&app, paused).await, StatusCode::NO_CONTENT);
}

async fn claiming_a_broken_task_fails_only_that_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    let good_delivery = app.delivery().await;
    let broken = store(&app, good, BROKEN_QUEUED);
    add_to_outbox(&app, broken, "csv_aggregation");
    assert_eq!(app.delivery().await.task_id, broken, "it is published like any other");
    claim_behind(&app, &[broken], good_delivery).await;

    let task = app.task(broken).await;
    assert_eq!(task.state, TaskState::Failed);
    let error = task.error.unwrap();
    assert_eq!((error.code.as_str(), error.status), ("unreadable_task", 500));
    assert_eq!(error.instance, Some(format!("/v1/tasks/{broken}")));
    for part in ["spec", "resume the task", "delete"] {
        assert!(error.detail.contains(part), "{}", error.detail);
    }
    assert!(task.finished_at.is_some());
    assert_eq!(app.state(good).await, TaskState::Processing);
}

async fn broken_tasks_fail_in_every_state_and_delay_no_other(backend: Backend) {
    let mut app = quick(backend).await;
    let good = app.processing_task().await;
    let not_json = r#"{"kind": "csv_aggregation""#;
    let leased = &[("leased_until", PAST)][..];
    let checkpoint = &[("checkpoint", r#"'{"row": "seven"}'"#)][..];
    let progress = &[("leased_until", PAST), ("progress", "'[1]'")][..];
    let count = &[("leased_until", PAST), ("failures", "-3")][..];
    let load = r#"{"kind": "data_upload", "on_bad_row": "skip"}"#;
    let aggregation = r#"{"kind": "csv_aggregation"}"#;
    let cases = [
        ("csv_aggregation", "processing", BROKEN, leased),
        ("csv_aggregation", "processing", not_json, leased),
        ("csv_aggregation", "processing", aggregation, progress),
        ("csv_aggregation", "processing", aggregation, count),
        ("csv_aggregation", "stopping", BROKEN, &[]),
        ("data_upload", "stopping", load, checkpoint),
    ];
    let cases = cases.map(|(kind, state, spec, more)| StoredRow { kind, state, spec, more });
    let broken: Vec<TaskId> = cases.iter().map(|case| store(&app, good.task_id, *case)).collect();
    let cut = store(
        &app,
        good.task_id,
        StoredRow { state: "initializing", more: leased, ..BROKEN_QUEUED },
    );
    for id in broken {
        eventually("it fails", || async {
            let id = id.0.simple();
            let failed =
                format!("UPDATE tasks SET alone = TRUE WHERE id = X'{id}' AND state = 'failed'");
            (app.sql(&failed) == 1).then_some(())
        })
        .await;
        let task = app.task(id).await;
        assert_eq!(task.error.unwrap().code, "unreadable_task");
    }
    eventually("the interrupted upload is removed", || async {
        let id = cut.0.simple();
        (app.sql(&format!("UPDATE tasks SET alone = TRUE WHERE id = X'{id}'")) == 0).then_some(())
    })
    .await;

    // One whose worker still reports, and one whose worker loads rows.
    let lease = app.time(chrono::TimeDelta::minutes(5));
    let leased = [("leased_until", lease.as_str())];
    let running = StoredRow { state: "processing", more: &leased, ..BROKEN_QUEUED };
    let reported = store(&app, good.task_id, running);
    let report = |id, attempt| Report { task_id: id, attempt, event: heartbeat() };
    let reports = vec![report(reported, 1), report(good.task_id, good.attempt)];
    assert_eq!(app.report_all(reports).await, [Outcome::LeaseLost, Outcome::Continue]);
    assert_eq!(app.state(reported).await, TaskState::Failed);
    let loading = StoredRow { kind: "data_upload", spec: "x", ..running };
    let loading = store(&app, good.task_id, loading);
    let attempt = Attempt { task_id: loading, attempt: 1, ..good.clone() };
    let answer = loads::sent(&app, loading, &loads::batch(&attempt, 0, 1)).await;
    assert_eq!(answer.outcome, Outcome::LeaseLost);
    assert_eq!(app.state(loading).await, TaskState::Failed);

    assert_eq!(app.complete(&good, "sums").await, Outcome::Accepted);
    assert_others_are_served(&mut app).await;
}

async fn viewing_a_broken_task_fails_it(backend: Backend) {
    let app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    let shown = store(&app, good, BROKEN_QUEUED);
    let task = json_of(&app, shown).await;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("unreadable_task"))
    );
    let in_list = store(&app, good, BROKEN_QUEUED);
    let items = listed(&app).await;
    assert_eq!(items.len(), 3);
    let listed = items.iter().find(|item| item["task_id"] == json!(in_list)).unwrap();
    assert_eq!(listed["state"], "failed");
    assert_eq!(app.state(good).await, TaskState::Queued);
    // Ended tasks stay unchanged.
    let more = [("result", "'{'"), ("finished_at", PAST)];
    let spec = r#"{"kind": "csv_aggregation"}"#;
    let ended =
        store(&app, good, StoredRow { state: "processed", spec, more: &more, ..BROKEN_QUEUED });
    let task = json_of(&app, ended).await;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("processed"), &json!("unreadable_task"))
    );
}

async fn a_broken_task_can_be_deleted_or_resumed_once_readable(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    app.delivery().await;
    let broken = store(&app, good, BROKEN_QUEUED);
    let (status, body) = app.interrupt(broken, "kill").await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("unreadable_task")));
    assert_eq!(app.state(broken).await, TaskState::Failed);
    assert_eq!(app.interrupt(broken, "resume").await.0, StatusCode::CONFLICT);
    // As the version that wrote it reads it.
    set(&app, broken, r#"spec = '{"kind": "csv_aggregation"}'"#);
    let (status, resumed) = app.interrupt(broken, "resume").await;
    assert_eq!((status, &resumed["error"]), (StatusCode::OK, &Value::Null));
    assert_eq!(app.next_attempt().await.task_id, broken);

    let broken = store(&app, good, BROKEN_QUEUED);
    add_to_outbox(&app, broken, "csv_aggregation");
    assert_eq!(delete(&app, broken).await, StatusCode::NO_CONTENT);
    eventually("it is removed", || async {
        let id = broken.0.simple();
        (app.sql(&format!("UPDATE tasks SET alone = TRUE WHERE id = X'{id}'")) == 0).then_some(())
    })
    .await;
}

async fn unreadable_outbox_rows_delay_no_other(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let good = app.upload(SONGS).await.task.task_id;
    app.delivery().await;
    let random_id = match backend {
        Backend::Standalone => "randomblob(16)",
        Backend::Fleet => "UNHEX(REPLACE(UUID(), '-', ''))",
    };
    // More than a batch of each.
    for (kind, dispatch) in [("thumbnail", 1), ("csv_aggregation", -1)] {
        let inserted = app.sql(&format!(
            "INSERT INTO outbox (task_id, kind, dispatch, due_at) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
             SELECT {random_id}, '{kind}', {dispatch}, {PAST} FROM n"
        ));
        assert_eq!(inserted, 600);
    }
    for _ in 0..3 {
        let id = app.upload(SONGS).await.task.task_id;
        assert_eq!(app.delivery().await.task_id, id);
    }
    eventually("broken rows are removed", || async {
        (app.sql("UPDATE outbox SET dispatch = -1 WHERE dispatch = -1") == 0).then_some(())
    })
    .await;
    assert_eq!(app.sql("UPDATE outbox SET dispatch = 2 WHERE kind = 'thumbnail'"), 600);
    assert_eq!(app.state(good).await, TaskState::Queued);
}

async fn workers_and_schedules_of_another_version_hide_no_other(backend: Backend) {
    let app = TestApp::start(backend).await;
    assert!(app.report_all(Vec::new()).await.is_empty());
    app.sql(
        "INSERT INTO workers (id, name, version, kinds, slots, draining, started_at, seen_at) SELECT \
         X'00000000000040008000000000000001', 'newer', '9', '[\"thumbnail\", \"user_event\"]', -1, draining, \
         started_at, seen_at FROM workers",
    );
    let workers: Value = app.get("/v1/workers").await.json().await.unwrap();
    assert_eq!(workers["items"].as_array().unwrap().len(), 2);
    let newer = workers["items"].as_array().unwrap().iter().find(|it| it["name"] == "newer");
    assert_eq!(newer.unwrap()["kinds"], json!(["thumbnail", "user_event"]));

    app.sql(
        "INSERT INTO schedules (name, cron, time_zone, enabled, recipients) \
         VALUES ('broken', '0 * * * *', 'UTC', TRUE, '{')",
    );
    let list: Value = app.get("/v1/schedules").await.json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    assert!(list["items"][0]["problem"].is_string(), "{list}");
    let schedule = json!({"cron": "0 0 1 1 *", "recipients": ["one@example.org"]});
    let put = app.request(Method::PUT, "/v1/schedules/broken").json(&schedule).send().await;
    assert!(put.unwrap().status().is_success(), "it can be created again");
    let list: Value = app.get("/v1/schedules").await.json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
}

async fn a_stored_answer_of_another_version_is_not_a_server_error(backend: Backend) {
    let app = TestApp::start(backend).await;
    let send = || {
        let path = "/v1/data_processor/upload?file_name=songs.csv";
        let request = app.request(Method::POST, path).header("Idempotency-Key", "key");
        request.body(SONGS).send()
    };
    assert_eq!(send().await.unwrap().status(), StatusCode::ACCEPTED);
    app.sql("UPDATE idempotency_keys SET answer = '{\"version\": 2}'");
    let (status, body) = problem(send().await.unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("unreadable_answer")));
    assert_eq!(app.list("").await.items.len(), 1);
}
