//! Lists of tasks and queue positions.

use common::task::TaskState;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{SONGS, TestApp, eventually};
use super::backend::{Backend, backend_tests};

backend_tests![
    tasks_of_other_users_are_404,
    a_list_is_paged_newest_first,
    a_list_is_filtered,
    file_name_search_ignores_case_and_spelling,
    queue_positions_are_counted_and_rise,
    queue_positions_are_exact_up_to_a_thousand,
    both_addresses_of_a_task_answer_alike,
];

async fn a_list_is_paged_newest_first(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut uploaded = Vec::new();
    for _ in 0..5 {
        uploaded.push(app.upload(SONGS).await.task.task_id);
    }
    uploaded.reverse();
    let mut listed = Vec::new();
    let mut query = "?page_size=2".to_owned();
    let mut pages = 0;
    loop {
        let page = app.list(&query).await;
        listed.extend(page.items.iter().map(|task| task.task_id));
        pages += 1;
        match page.next_page_token {
            Some(token) => query = format!("?page_size=2&page_token={token}"),
            None => break,
        }
    }
    assert_eq!((listed, pages), (uploaded, 3));
}

async fn a_list_is_filtered(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let killed = app.task_in(TaskState::Killed).await;
    let queued = app.upload(SONGS).await.task.task_id;
    assert_eq!(queued, killed, "the killed one is resumed");
    app.delivery().await;
    let done = app.task_in(TaskState::Failed).await;
    let ids = async |query: &str| -> Vec<_> {
        app.list(query).await.items.iter().map(|task| task.task_id).collect()
    };
    assert_eq!(ids("?state=failed").await, [done]);
    assert_eq!(ids("?state=failed&state=queued").await.len(), 2);
    assert_eq!(ids("?kind=csv_aggregation&text=SONG").await.len(), 2);
    assert!(ids("?text=s%25s").await.is_empty(), "a percent sign stands for itself");
    assert_eq!(ids(&format!("?text={done}")).await, [done]);
    assert!(ids("?to=2020-01-01").await.is_empty());
    assert_eq!(ids("?from=2020-01-01T00:00:00Z").await.len(), 2);
}

async fn file_name_search_ignores_case_and_spelling(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let names = ["Österreich.csv", "Straße 100%_!.csv", "o\u{308}l.csv", "İzmir ﬁnal.csv"];
    for name in names {
        let request = app.request(Method::POST, "/v1/data_processor/upload");
        let response = request.query(&[("file_name", name)]).body(SONGS).send().await.unwrap();
        assert_eq!(response.status(), 202, "{name}");
    }
    let found = async |app: &TestApp, text: &str| -> Vec<String> {
        let response = app.request(Method::GET, "/v1/tasks").query(&[("text", text)]).send().await;
        let list: Value = response.unwrap().json().await.unwrap();
        let name = |item: &Value| item["file_name"].as_str().unwrap().to_owned();
        let mut found: Vec<_> = list["items"].as_array().unwrap().iter().map(name).collect();
        found.sort();
        found
    };
    let cases: [(&str, &[usize]); 18] = [
        ("Österreich.csv", &[0]),
        ("O\u{308}sterreich.csv", &[0]),
        ("ÖSTERREICH", &[0]),
        ("österr", &[0]),
        ("osterreich", &[]),
        ("ö", &[0, 2]),
        ("STRASSE", &[1]),
        ("straẞe 100%_!", &[1]),
        ("0%", &[1]),
        ("_", &[1]),
        ("%", &[1]),
        ("s%e", &[]),
        ("s_raße", &[]),
        ("Öl.CSV", &[2]),
        ("izmir FINAL", &[3]),
        ("IZMIR", &[3]),
        ("ızmir", &[3]),
        (".csv", &[0, 1, 2, 3]),
    ];
    for (text, expected) in cases {
        let mut expected: Vec<_> = expected.iter().map(|number| names[*number]).collect();
        expected.sort_unstable();
        assert_eq!(found(&app, text).await, expected, "{text}");
    }
    // As stored by an older version: case-insensitive only in ASCII until the keys are computed.
    app.sql("UPDATE tasks SET file_name_key = NULL");
    app.sql("UPDATE backfills SET done_to = ''");
    assert_eq!(found(&app, "STERREICH.csv").await, [names[0]]);
    app.restart().await;
    // The databases' own case mapping does not find this one.
    let again = async || Some(found(&app, "strasse").await).filter(|found| !found.is_empty());
    assert_eq!(eventually("the keys are computed", again).await, [names[1]]);
    assert_eq!(found(&app, "ÖSTERREICH").await, [names[0]]);
}

async fn queue_positions_are_counted_and_rise(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = app.upload(SONGS).await.task;
    let second = app.upload(SONGS).await.task;
    assert_eq!((first.queue_position, second.queue_position), (Some(1), Some(2)));
    app.next_attempt().await;
    assert_eq!(app.task(second.task_id).await.queue_position, Some(1));
    let listed = app.list("?state=queued").await.items;
    assert_eq!(listed[0].queue_position, Some(1));
}

async fn queue_positions_are_exact_up_to_a_thousand(backend: Backend) {
    let app = TestApp::start(backend).await;
    let task = app.upload(SONGS).await.task;
    // Tasks queued earlier.
    let random_id = match backend {
        Backend::Standalone => "randomblob(16)",
        Backend::Fleet => "UNHEX(REPLACE(UUID(), '-', ''))",
    };
    let mut ahead = 0;
    for (count, place, over) in [
        (63, json!(64), Value::Null),
        (64, json!(65), Value::Null),
        (999, json!(1_000), Value::Null),
        (1_000, Value::Null, json!(1_000)),
    ] {
        app.sql(&format!(
            "INSERT INTO tasks (id, owner, kind, state, spec, created_at, changed_at, queued_at) \
             WITH RECURSIVE n(i) AS (SELECT {ahead} + 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT {random_id}, owner, kind, state, spec, created_at, changed_at, \
             '2020-01-01 00:00:00' FROM n, tasks WHERE queued_at > '2020-01-02'",
        ));
        ahead = count;
        let task: Value = app.get(&task.links.this).await.json().await.unwrap();
        assert_eq!((&task["queue_position"], &task["queue_position_over"]), (&place, &over));
    }
}

async fn both_addresses_of_a_task_answer_alike(backend: Backend) {
    let app = TestApp::start(backend).await;
    let id = app.upload(SONGS).await.task.task_id;
    let mut one: Value = app.get(&format!("/v1/tasks/{id}")).await.json().await.unwrap();
    let mut two: Value = app.get(&format!("/v1/tasks/status/{id}")).await.json().await.unwrap();
    for task in [&mut one, &mut two] {
        task["timestamp"] = Value::Null;
    }
    assert_eq!(one, two);
    for field in ["result", "error", "finished_at", "started_at"] {
        assert!(one.as_object().unwrap().contains_key(field), "an absent value is null: {field}");
    }
}

async fn tasks_of_other_users_are_404(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    let killed = app.task_in(TaskState::Killed).await;
    app.sql("UPDATE tasks SET owner = X'0000000000004000800000000000000F'");
    let other = app.log_in_as("alice42").await;
    let status = async |method: Method, path: &str| {
        app.request_as(&other, method, path).send().await.unwrap().status()
    };

    let list = app.request_as(&other, Method::GET, "/v1/tasks").send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["items"], json!([]));
    for path in [
        format!("/v1/tasks/{id}"),
        format!("/v1/tasks/status/{id}"),
        format!("/v1/tasks/{id}/events"),
        format!("/v1/tasks/{id}/timeline"),
        format!("/v1/data_processor/download/{id}"),
        format!("/v1/data_processor/rejected/{id}"),
        format!("/v1/data_processor/preview/{id}"),
        format!("/v1/data_processor/series/{id}"),
    ] {
        assert_eq!(status(Method::GET, &path).await, 404, "{path}");
    }
    for verb in ["stop", "kill", "resume"] {
        assert_eq!(
            status(Method::POST, &format!("/v1/tasks/{killed}/{verb}")).await,
            404,
            "{verb}"
        );
    }
    assert_eq!(status(Method::DELETE, &format!("/v1/tasks/{id}")).await, 404);
    assert!(!app.upload(SONGS).await.resumed, "another user's task is not resumed");
}
