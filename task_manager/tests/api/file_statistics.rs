//! File statistics: uploads, the list and the report.

use common::file_statistics::{Encoding, FileStatistics};
use common::report::{Attempt, Claim, Event, Outcome};
use common::task::{AcceptedTask, TaskId, TaskState};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, eventually, failed, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    any_file_is_accepted_and_links_to_the_report,
    an_empty_file_is_accepted_as_form_and_as_raw_body,
    bad_requests_are_refused,
    the_row_is_the_result_and_is_listed,
    without_statistics_there_is_no_content,
    a_list_of_a_period_is_paged,
    a_repeated_completion_leaves_one_row,
    an_attempt_that_lost_its_lease_leaves_no_row,
    a_result_of_the_wrong_shape_is_rejected_and_leaves_nothing,
    deleting_a_task_deletes_its_row_immediately,
    the_row_stays_when_the_task_expires,
    an_interrupted_task_leaves_no_row,
    the_same_file_resumes_after_a_kill,
];

pub const PATH: &str = "/v1/file_statistics";
pub const REPORT: &str = "/v1/reports/file_statistics";

async fn upload(app: &TestApp, name: &str, content: &'static [u8]) -> AcceptedTask {
    let form = Form::new().part("file", Part::bytes(content).file_name(name.to_owned()));
    let response = app.request(Method::POST, PATH).multipart(form).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    response.json().await.unwrap()
}

/// A task that a worker has claimed.
async fn attempt(app: &mut TestApp, name: &str) -> Attempt {
    let id = upload(app, name, b"some text\n").await.task.task_id;
    let attempt = app.next_attempt().await;
    assert_eq!(attempt.task_id, id);
    attempt
}

pub fn statistics(name: &str) -> FileStatistics {
    FileStatistics {
        file_name: name.to_owned(),
        size: 10,
        lines: Some(1),
        words: Some(2),
        characters: Some(9),
        content_type: "text/plain".to_owned(),
        encoding: Encoding::Utf8,
        sha256: "ab".repeat(32),
    }
}

fn done(statistics: &FileStatistics) -> Event {
    Event::Completed { result: serde_json::to_value(statistics).unwrap(), output: None }
}

/// Processes a file with these statistics as the result.
pub async fn examined(app: &mut TestApp, statistics: &FileStatistics) -> TaskId {
    let attempt = attempt(app, &statistics.file_name).await;
    assert_eq!(app.report(&attempt, done(statistics)).await, Outcome::Accepted);
    attempt.task_id
}

async fn list(app: &TestApp, query: &str) -> Value {
    let response = app.get(&format!("{PATH}{query}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

pub async fn report(app: &TestApp, query: &str) -> Value {
    let response = app.get(&format!("{REPORT}{query}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn count(app: &TestApp) -> usize {
    app.sql("UPDATE file_statistics SET encoding = encoding")
}

fn hex(id: TaskId) -> String {
    id.0.simple().to_string()
}

/// Moves the time of a row.
pub fn found_at(app: &TestApp, id: TaskId, time: &str) {
    let hex = hex(id);
    let statement = format!(
        "UPDATE file_statistics SET created_at = '{time}' WHERE hex(task_id) = upper('{hex}')"
    );
    assert_eq!(app.sql(&statement), 1);
}

async fn any_file_is_accepted_and_links_to_the_report(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (name, content) in
        [("a.txt", &b"words\n"[..]), ("a.png", b"\x89PNG\r\n\x1a\n\0\0"), ("a", b"\xFF\xFEa\0")]
    {
        let task = upload(&app, name, content).await.task;
        assert_eq!(task.links.report.as_deref(), Some(REPORT));
        assert_eq!(task.links.download, None);
        assert_eq!(task.size, Some(content.len() as u64));
        assert_eq!(task.file_name.as_deref(), Some(name));
        assert_eq!(task.kind, common::task::TaskKind::FileStatistics);
    }
    let pdf = app.request(Method::POST, &format!("{PATH}?file_name=a.pdf"));
    let response = pdf.header("content-type", "application/pdf").body("%PDF-1.4").send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "a raw body of any type");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let task: Value = response.json().await.unwrap();
    assert!(task["timestamp"].is_string() && task["task_id"].is_string(), "{task}");
    assert_eq!(task["links"]["self"], location);
}

async fn an_empty_file_is_accepted_as_form_and_as_raw_body(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = upload(&app, "empty", b"").await.task.task_id;
    let raw = app.request(Method::POST, &format!("{PATH}?file_name=empty"));
    assert_eq!(raw.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let attempt = app.next_attempt().await;
    assert_eq!(attempt.task_id, id);
    let input = attempt.input.unwrap();
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((input.size, input.sha256.as_str()), (0, sha256));
    assert!(app.files().contains(&format!("raw_data/{id}")));
}

async fn bad_requests_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let post = |path: &str| app.request(Method::POST, path);
    let form = Form::new().text("file_name", "x");
    for (request, status, field) in [
        (post(PATH).body("no name"), 422, "file_name"),
        (post(&format!("{PATH}?file_name=a&sum=b")).body("x"), 422, "sum"),
        (post(PATH).multipart(form), 422, "file"),
        (app.request(Method::GET, &format!("{PATH}?from=yesterday")), 422, "from"),
        (app.request(Method::GET, &format!("{PATH}?page_token=x")), 422, "page_token"),
        (app.request(Method::GET, &format!("{REPORT}?user_id=me")), 422, "user_id"),
        (app.request(Method::GET, &format!("{REPORT}?page_size=5")), 422, "page_size"),
    ] {
        let (given, body) = problem(request.send().await.unwrap()).await;
        assert_eq!((given.as_u16(), &body["errors"][0]["field"]), (status, &json!(field)));
    }
    let html = app.request(Method::GET, REPORT).header("accept", "text/html").send().await;
    let (status, body) = problem(html.unwrap()).await;
    assert_eq!((status.as_u16(), &body["code"]), (406, &json!("not_acceptable")));
    let (status, _) = problem(app.request(Method::PUT, PATH).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(app.list("").await.items.is_empty());
    app.wait_for_files(&[]).await;
}

async fn the_row_is_the_result_and_is_listed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = examined(&mut app, &statistics("Grüße.txt")).await;
    let task = app.task(id).await;
    assert_eq!(task.state, TaskState::Processed);
    let result = task.result.unwrap();
    let mut fields: Vec<_> = result.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "characters",
            "content_type",
            "created_at",
            "encoding",
            "file_name",
            "lines",
            "sha256",
            "size",
            "task_id",
            "words"
        ]
    );
    assert_eq!((&result["task_id"], &result["file_name"]), (&json!(id), &json!("Grüße.txt")));
    assert_eq!((&result["lines"], &result["encoding"]), (&json!(1), &json!("utf-8")));
    assert_eq!(list(&app, "").await, json!({"items": [result], "next_page_token": null}));
    let download = app.get(&format!("/v1/data_processor/download/{id}")).await;
    let (status, body) = problem(download).await;
    assert_eq!((status.as_u16(), &body["code"]), (409, &json!("no_result")));
}

async fn without_statistics_there_is_no_content(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let response = app.get(PATH).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
    let totals = &report(&app, "").await["totals"];
    assert_eq!((&totals["files"], &totals["size"]), (&json!(0), &json!(0)));
    examined(&mut app, &statistics("a")).await;
    let nothing = json!({"items": [], "next_page_token": null});
    assert_eq!(list(&app, "?to=2020-01-01").await, nothing, "there are some in another period");
}

async fn a_list_of_a_period_is_paged(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let days = [
        "2026-03-01 12:00:00",
        "2026-03-02 00:00:00",
        "2026-03-02 00:00:00",
        "2026-03-03 23:59:59",
    ];
    let mut ids = Vec::new();
    for day in days {
        let id = examined(&mut app, &statistics("a")).await;
        found_at(&app, id, day);
        ids.push(id);
    }
    ids.reverse();
    let listed = async |query: &str| -> Vec<TaskId> {
        let list = list(&app, query).await;
        let ids = list["items"].as_array().unwrap().iter().map(|row| row["task_id"].clone());
        ids.map(|id| serde_json::from_value(id).unwrap()).collect()
    };
    assert_eq!(listed("").await, ids);
    assert_eq!(listed("?from=2026-03-02").await, ids[..3]);
    assert_eq!(listed("?from=2026-03-02&to=2026-03-03").await, ids[1..3], "up to its end only");
    assert_eq!(listed("?to=2026-03-01T13:00:00%2B01:00").await, [], "another zone");
    assert_eq!(listed("?to=2026-03-01T13:00:01%2B01:00").await, ids[3..]);
    assert_eq!(listed("?from=2026-03-03&to=2026-03-01").await, []);
    assert_eq!(listed("?from=0001-01-01&to=9999-12-31").await, ids);
    assert_eq!(listed("?from=9999-12-31").await, []);

    let mut paged: Vec<TaskId> = Vec::new();
    let mut query = "?page_size=1".to_owned();
    loop {
        let page = list(&app, &query).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 1);
        paged.push(serde_json::from_value(page["items"][0]["task_id"].clone()).unwrap());
        match page["next_page_token"].as_str() {
            Some(token) => query = format!("?page_size=1&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(paged, ids, "also where times are the same");
}

async fn a_repeated_completion_leaves_one_row(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = attempt(&mut app, "a").await;
    for _ in 0..3 {
        assert_eq!(app.report(&attempt, done(&statistics("a"))).await, Outcome::Accepted);
    }
    let two = common::report::Report {
        task_id: attempt.task_id,
        attempt: attempt.attempt,
        event: done(&statistics("a")),
    };
    assert_eq!(
        app.report_all(vec![two.clone(), two]).await,
        [Outcome::Accepted, Outcome::Accepted]
    );
    assert_eq!(count(&app).await, 1);
    assert_eq!(report(&app, "").await["totals"]["files"], 1);
}

async fn an_attempt_that_lost_its_lease_leaves_no_row(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let lost = attempt(&mut app, "a").await;
    let past = app.time(chrono::TimeDelta::seconds(-60));
    app.sql(&format!("UPDATE tasks SET leased_until = {past} WHERE state = 'processing'"));
    let delivery = app.delivery().await;
    assert_eq!(app.report(&lost, done(&statistics("late"))).await, Outcome::LeaseLost);
    assert_eq!(count(&app).await, 0);
    let Claim::Attempt(second) = app.claim(vec![delivery]).await.remove(0) else {
        panic!("the task can be claimed");
    };
    assert_eq!(app.report(&lost, done(&statistics("late"))).await, Outcome::LeaseLost);
    assert_eq!(app.report(&second, done(&statistics("a"))).await, Outcome::Accepted);
    assert_eq!(app.report(&lost, done(&statistics("late"))).await, Outcome::LeaseLost);
    assert_eq!(count(&app).await, 1);
}

async fn a_result_of_the_wrong_shape_is_rejected_and_leaves_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let bad = attempt(&mut app, "bad").await;
    let good = attempt(&mut app, "good").await;
    let mut negative = serde_json::to_value(statistics("bad")).unwrap();
    negative["size"] = json!(-1);
    for result in [json!({"rows_read": 1}), json!(null), negative] {
        let event = Event::Completed { result, output: None };
        let outcome = app.report(&bad, event).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
        assert_eq!(app.state(bad.task_id).await, TaskState::Processing);
        assert_eq!(count(&app).await, 0);
    }
    assert_eq!(app.report(&good, done(&statistics("good"))).await, Outcome::Accepted);
    assert_eq!(app.report(&bad, done(&statistics("bad"))).await, Outcome::Accepted);
    assert_eq!(count(&app).await, 2);
}

async fn deleting_a_task_deletes_its_row_immediately(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = examined(&mut app, &statistics("a")).await;
    let other = examined(&mut app, &statistics("b")).await;
    let deleted = app.request(Method::DELETE, &format!("/v1/tasks/{id}")).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let left = list(&app, "").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["task_id"], json!(other));
    assert_eq!(report(&app, "").await["totals"]["files"], 1);
    assert_eq!(count(&app).await, 1);
    app.wait_for_files(&[format!("raw_data/{other}")]).await;
}

async fn the_row_stays_when_the_task_expires(backend: Backend) {
    let sweep = std::time::Duration::from_secs(1);
    let mut app = TestApp::start_with(backend, |config| config.sweep_interval = sweep).await;
    let id = examined(&mut app, &statistics("a")).await;
    let past = app.time(chrono::TimeDelta::days(-100));
    app.sql(&format!("UPDATE tasks SET finished_at = {past}"));
    eventually("the task is gone", || async {
        (app.get(&format!("/v1/tasks/{id}")).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    assert_eq!(list(&app, "").await["items"][0]["task_id"], json!(id));
}

async fn an_interrupted_task_leaves_no_row(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let failing = attempt(&mut app, "failing").await;
    app.report(&failing, failed()).await;
    let killed = attempt(&mut app, "killed").await;
    app.interrupt(killed.task_id, "kill").await;
    assert_eq!(app.report(&killed, done(&statistics("killed"))).await, Outcome::Kill);
    for id in [failing.task_id, killed.task_id] {
        assert_eq!(app.interrupt(id, "stop").await.0, StatusCode::ACCEPTED);
        app.wait_for_state(id, TaskState::Stopped).await;
    }
    assert_eq!(count(&app).await, 0);
    assert_eq!(app.get(PATH).await.status(), StatusCode::NO_CONTENT);
}

async fn the_same_file_resumes_after_a_kill(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let killed = attempt(&mut app, "a").await.task_id;
    app.interrupt(killed, "kill").await;
    let again = upload(&app, "another name", b"some text\n").await;
    assert_eq!((again.task.task_id, again.resumed), (killed, true));
    let attempt = app.next_attempt().await;
    assert_eq!(app.report(&attempt, done(&statistics("a"))).await, Outcome::Accepted);
    assert!(!upload(&app, "a", b"some text\n").await.resumed, "a processed task is not resumed");
    assert_eq!(count(&app).await, 1);
}
