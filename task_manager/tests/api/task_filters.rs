//! Filters and orders of the list of tasks.

use chrono::TimeDelta;
use common::report::Event;
use common::task::{TaskId, TaskState};
use reqwest::Method;
use serde_json::Value;

use super::app::{SONGS, TestApp, failed, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    several_states_and_kinds_are_listed,
    the_start_of_an_id_finds_its_task,
    failed_tasks_are_found_by_their_code,
    tasks_are_found_by_their_parameters,
    a_broken_row_does_not_keep_others_from_being_found,
    every_order_is_complete_across_pages,
    a_token_of_another_order_is_refused,
    counts_and_lists_take_the_same_filters,
];

async fn ids(app: &TestApp, query: &[(&str, &str)]) -> Vec<TaskId> {
    let response = app.request(Method::GET, "/v1/tasks").query(query).send().await.unwrap();
    assert_eq!(response.status(), 200, "{query:?}");
    let list: common::task::TaskList = response.json().await.unwrap();
    list.items.into_iter().map(|task| task.task_id).collect()
}

async fn total(app: &TestApp, query: &[(&str, &str)]) -> u64 {
    let response = app.request(Method::GET, "/v1/tasks/counts").query(query).send().await.unwrap();
    response.json::<Value>().await.unwrap()["total"].as_u64().unwrap()
}

/// Uploads text for `file_statistics`.
async fn text(app: &TestApp, file_name: &str, content: String) -> TaskId {
    let path = format!("/v1/file_statistics?file_name={file_name}");
    let response = app.request(Method::POST, &path).body(content).send().await.unwrap();
    assert_eq!(response.status(), 202);
    response.json::<common::task::AcceptedTask>().await.unwrap().task.task_id
}

async fn several_states_and_kinds_are_listed(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let done = app.task_in(TaskState::Failed).await;
    let stopped = app.task_in(TaskState::Stopped).await;
    let queued = text(&app, "a.txt", "a".to_owned()).await;
    assert_eq!(ids(&app, &[("state", "failed"), ("state", "queued")]).await, [queued, done]);
    let kinds = [("kind", "csv_aggregation"), ("kind", "file_statistics")];
    assert_eq!(ids(&app, &kinds).await, [queued, stopped, done]);
    assert_eq!(ids(&app, &[("kind", "file_statistics")]).await, [queued]);
}

async fn the_start_of_an_id_finds_its_task(backend: Backend) {
    let app = TestApp::start(backend).await;
    let one = app.upload(SONGS).await.task.task_id;
    let two = app.upload(SONGS).await.task.task_id;
    let id = one.to_string();
    // Ids of the same millisecond differ in the last characters only.
    assert_eq!(ids(&app, &[("text", &id[..35])]).await, [one]);
    assert_eq!(ids(&app, &[("text", &id[..35].to_uppercase())]).await, [one]);
    assert_eq!(ids(&app, &[("text", &id[..6])]).await, [two, one]);
    assert!(ids(&app, &[("text", &id[..5])]).await.is_empty(), "too short");
    assert!(ids(&app, &[("text", "ffffff")]).await.is_empty());
    let named = text(&app, "ffffff.txt", "a".to_owned()).await;
    assert_eq!(ids(&app, &[("text", "ffffff")]).await, [named], "file names are searched too");
}

async fn failed_tasks_are_found_by_their_code(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let bad = app.task_in(TaskState::Failed).await;
    let attempt = app.processing_task().await;
    let error = common::problem::Problem::new(422, "not_csv", "No CSV", "\"code\":\"bad_rows\"");
    app.report(&attempt, Event::Failed { error }).await;
    assert_eq!(ids(&app, &[("error_code", "bad_rows")]).await, [bad]);
    assert_eq!(ids(&app, &[("error_code", "not_csv")]).await, [attempt.task_id]);
    assert!(ids(&app, &[("error_code", "bad")]).await.is_empty());
    app.interrupt(bad, "resume").await;
    assert!(ids(&app, &[("error_code", "bad_rows")]).await.is_empty(), "it is queued");
}

async fn tasks_are_found_by_their_parameters(backend: Backend) {
    let app = TestApp::start(backend).await;
    let upload = async |parameters: &[(&str, &str)]| {
        let request = app.request(Method::POST, "/v1/data_processor/upload?file_name=a.csv");
        let response = request.query(parameters).body(SONGS).send().await.unwrap();
        response.json::<common::task::AcceptedTask>().await.unwrap().task.task_id
    };
    let cities = upload(&[("group_by", "City"), ("group_by", "Ünï \"c\\ode:"), ("sum", "n")]).await;
    let songs = upload(&[("on_bad_row", "skip"), ("memory_limit", "1MiB")]).await;
    let message = serde_json::json!({"message": "City"});
    app.request(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    let found = async |parameter: &str| ids(&app, &[("parameter", parameter)]).await;
    assert_eq!(found("group_by:City").await, [cities]);
    assert_eq!(found("group_by:Ünï \"c\\ode:").await, [cities]);
    assert_eq!(found("group_by:Song").await, [songs], "the default");
    assert_eq!(found("on_bad_row:skip").await, [songs]);
    assert_eq!(found("on_bad_row:fail").await, [cities], "the default");
    assert_eq!(found("memory_limit:1048576").await, [songs]);
    assert!(found("group_by:city").await.is_empty(), "case matters");
    assert!(found("total_header:City").await.is_empty());
    let both = [("parameter", "group_by:City"), ("parameter", "on_bad_row:skip")];
    assert!(ids(&app, &both).await.is_empty(), "all of them apply");
    let (status, body) = problem(app.get("/v1/tasks?parameter=message:City").await).await;
    assert_eq!((status.as_u16(), &body["errors"][0]["field"]), (422, &"parameter".into()));
}

async fn a_broken_row_does_not_keep_others_from_being_found(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let broken = app.task_in(TaskState::Failed).await;
    let intact = app.task_in(TaskState::Failed).await;
    let hex = broken.0.simple();
    app.sql(&format!("UPDATE tasks SET spec = '{{', error = 'x' WHERE id = X'{hex}'"));
    assert_eq!(ids(&app, &[("error_code", "bad_rows")]).await, [intact]);
    assert_eq!(ids(&app, &[("parameter", "group_by:Song")]).await, [intact]);
    let failures: Value = app.get("/v1/tasks/failures").await.json().await.unwrap();
    assert_eq!(failures["items"][0]["count"], 1);
    assert_eq!(total(&app, &[]).await, 2);
}

async fn every_order_is_complete_across_pages(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let mut tasks = Vec::new();
    // Equal and different sizes, and ends; two tasks have not ended.
    for (index, size) in [3, 1, 3, 2, 1].into_iter().enumerate() {
        tasks.push(text(&app, "a.txt", "x".repeat(size)).await);
        let attempt = app.next_attempt().await;
        if index < 3 {
            app.report(&attempt, failed()).await;
        }
    }
    let [a, b, c, d, e] = tasks[..] else { panic!("five tasks") };
    for (task, minutes, seconds) in [(a, 1, 1), (b, 3, 9), (c, 1, 1)] {
        let (hex, end) = (task.0.simple(), TimeDelta::minutes(-minutes));
        app.sql(&format!(
            "UPDATE tasks SET finished_at = {}, started_at = {} WHERE id = X'{hex}'",
            app.time(end),
            app.time(end - TimeDelta::seconds(seconds)),
        ));
    }
    for (sort, expected) in [
        ("-created_at", vec![e, d, c, b, a]),
        ("created_at", vec![a, b, c, d, e]),
        ("-size", vec![c, a, d, e, b]),
    ] {
        assert_eq!(paged(&app, sort).await, expected, "{sort}");
    }
    let ended = paged(&app, "-finished_at").await;
    assert_eq!((&ended[2..], ended.len()), ([b, e, d].as_slice(), 5));
    let longest = paged(&app, "-duration").await;
    assert_eq!((longest[0], &longest[3..]), (b, [e, d].as_slice()));
}

/// The ids of all pages.
async fn paged(app: &TestApp, sort: &str) -> Vec<TaskId> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let page = app.list(&format!("?page_size=2&sort={sort}{token}")).await;
        found.extend(page.items.iter().map(|task| task.task_id));
        match page.next_page_token {
            Some(next) => token = format!("&page_token={next}"),
            None => return found,
        }
    }
}

async fn a_token_of_another_order_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let id = TaskId::new();
    for (sort, value) in [("-created_at", "null"), ("created_at", "5"), ("-finished_at", "5")] {
        let path = format!("/v1/tasks?sort={sort}&page_token={value}.{id}");
        let (status, body) = problem(app.get(&path).await).await;
        assert_eq!((status.as_u16(), &body["errors"][0]["field"]), (422, &"page_token".into()));
    }
    let (_, body) = problem(app.get("/v1/tasks?sort=size").await).await;
    let reason = body["errors"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("-created_at, created_at, -finished_at, -size, -duration"), "{reason}");
}

async fn counts_and_lists_take_the_same_filters(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Failed).await;
    text(&app, "b.txt", "b".to_owned()).await;
    for (query, expected) in [
        (vec![], 2),
        (vec![("state", "failed"), ("state", "queued")], 2),
        (vec![("kind", "file_statistics")], 1),
        (vec![("text", "SONGS")], 1),
        (vec![("error_code", "bad_rows")], 1),
        (vec![("parameter", "group_by:Date")], 1),
        (vec![("to", "2020-01-01")], 0),
        (vec![("from", "2020-01-01")], 2),
    ] {
        assert_eq!(total(&app, &query).await, expected, "{query:?}");
        assert_eq!(ids(&app, &query).await.len() as u64, expected, "{query:?}");
    }
}
