//! Lists and places in the queue.

use common::task::TaskState;
use serde_json::Value;

use super::app::{SONGS, TestApp};

#[tokio::test]
async fn a_list_is_paged_newest_first() {
    let app = TestApp::start().await;
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

#[tokio::test]
async fn a_list_is_filtered() {
    let mut app = TestApp::start().await;
    let killed = app.task_in(TaskState::Killed).await;
    let queued = app.upload(SONGS).await.task.task_id;
    assert_eq!(queued, killed, "the killed one goes on");
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

#[tokio::test]
async fn places_in_the_queue_are_counted_and_rise() {
    let mut app = TestApp::start().await;
    let first = app.upload(SONGS).await.task;
    let second = app.upload(SONGS).await.task;
    assert_eq!((first.queue_position, second.queue_position), (Some(1), Some(2)));
    app.next_attempt().await;
    assert_eq!(app.task(second.task_id).await.queue_position, Some(1));
    let listed = app.list("?state=queued").await.items;
    assert_eq!(listed[0].queue_position, Some(1));
}

#[tokio::test]
async fn a_place_beyond_a_thousand_is_not_counted() {
    let app = TestApp::start().await;
    let task = app.upload(SONGS).await.task;
    // A thousand and one tasks that came before.
    app.sql(
        "INSERT INTO tasks (id, owner, kind, state, spec, created_at, changed_at, queued_at) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) \
         SELECT randomblob(16), owner, kind, state, spec, created_at, changed_at, \
         '2020-01-01 00:00:00' FROM n, tasks",
    );
    let task: Value = app.get(&task.links.this).await.json().await.unwrap();
    assert_eq!(
        (&task["queue_position"], &task["queue_position_over"]),
        (&Value::Null, &1_000.into())
    );
}

#[tokio::test]
async fn the_two_addresses_of_a_task_show_the_same() {
    let app = TestApp::start().await;
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

#[tokio::test]
async fn the_tasks_of_others_are_not_there() {
    let mut app = TestApp::start().await;
    let id = app.task_in(TaskState::Processed).await;
    let killed = app.task_in(TaskState::Killed).await;
    app.sql("UPDATE tasks SET owner = X'0000000000004000800000000000000F'");

    assert!(app.list("").await.items.is_empty());
    for path in [
        format!("/v1/tasks/{id}"),
        format!("/v1/tasks/status/{id}"),
        format!("/v1/tasks/{id}/events"),
        format!("/v1/data_processor/download/{id}"),
        format!("/v1/data_processor/rejected/{id}"),
    ] {
        assert_eq!(app.get(&path).await.status(), 404, "{path}");
    }
    for verb in ["stop", "kill", "resume"] {
        assert_eq!(app.interrupt(killed, verb).await.0, 404, "{verb}");
    }
    let delete = app.request(reqwest::Method::DELETE, &format!("/v1/tasks/{id}"));
    assert_eq!(delete.send().await.unwrap().status(), 404);
    assert!(!app.upload(SONGS).await.resumed, "somebody else's task does not go on");
}
