//! Helpers that load rows like a worker.

use common::report::{Attempt, Event, LoadCheckpoint, MAX_BATCH_ROWS, RowBatch, RowsAnswer};
use common::task::{AcceptedTask, TaskId};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::app::TestApp;

pub const PEOPLE: &str = "name,email\nAda,ada@example.org\n";
/// The most rows of a batch.
pub const FULL: u64 = MAX_BATCH_ROWS as u64;

/// Uploads a file; `parameters` starts with `&` if there are any.
pub async fn upload(app: &TestApp, parameters: &str, content: &'static str) -> AcceptedTask {
    let path = format!("/v1/data_uploads?file_name=people.csv{parameters}");
    let response = app.request(Method::POST, &path).body(content).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
    response.json().await.unwrap()
}

/// A load that a worker has claimed.
pub async fn processing(app: &mut TestApp) -> Attempt {
    let id = upload(app, "", PEOPLE).await.task.task_id;
    let attempt = app.next_attempt().await;
    assert_eq!(attempt.task_id, id);
    attempt
}

/// A load with `rows` rows in the database.
pub async fn loaded(app: &mut TestApp, rows: u64) -> Attempt {
    let attempt = processing(app).await;
    load(app, &attempt, 0, rows).await;
    attempt
}

/// The checkpoint after `row` valid rows; none before the first one.
pub fn checkpoint(row: u64) -> Option<LoadCheckpoint> {
    (row > 0).then(|| LoadCheckpoint {
        row,
        offset: 11 + row * 20,
        line: row + 2,
        loaded: row,
        rejected: 0,
        sha256: "5a".repeat(32),
    })
}

/// The batch of valid rows after `from`, up to `to`.
pub fn batch(attempt: &Attempt, from: u64, to: u64) -> RowBatch {
    let row = |row| (row, format!("Ada {row}"), format!("ada.{row}@example.org"));
    RowBatch {
        attempt: attempt.attempt,
        from: checkpoint(from),
        checkpoint: checkpoint(to).unwrap(),
        rows: (from + 1..=to).map(row).collect(),
        rejected: Vec::new(),
    }
}

pub async fn send(app: &TestApp, id: TaskId, batch: &RowBatch) -> Response {
    let path = format!("/internal/v1/tasks/{id}/rows");
    app.internal_request(&path).json(batch).send().await.unwrap()
}

pub async fn sent(app: &TestApp, id: TaskId, batch: &RowBatch) -> RowsAnswer {
    let response = send(app, id, batch).await;
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
    response.json().await.unwrap()
}

/// Loads valid rows after `from`, up to `to`.
pub async fn load(app: &TestApp, attempt: &Attempt, from: u64, to: u64) {
    let mut from = from;
    while from < to {
        let next = to.min(from + FULL);
        let answer = sent(app, attempt.task_id, &batch(attempt, from, next)).await;
        assert_eq!(answer.checkpoint, checkpoint(next));
        from = next;
    }
}

/// The number of rows of all tasks in the database.
pub fn rows_in_database(app: &TestApp) -> usize {
    app.sql("UPDATE file_data SET updated_at = created_at")
        + app.sql("UPDATE rejected_rows SET reason = reason")
}

/// The numbers of the loaded rows that the API lists, in its order.
pub async fn row_numbers(app: &TestApp, id: TaskId) -> Vec<u64> {
    let path = format!("/v1/data_uploads/{id}/rows");
    items(app, &path, 10_000).await.iter().map(|row| row["row"].as_u64().unwrap()).collect()
}

/// The items of all pages.
pub async fn items(app: &TestApp, path: &str, page_size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let page = app.get(&format!("{path}?page_size={page_size}&page_token={token}")).await;
        assert_eq!(page.status(), StatusCode::OK);
        let page: Value = page.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= page_size);
        all.extend_from_slice(items);
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return all,
        }
    }
}

pub fn completed() -> Event {
    // The counts of a worker that has miscounted.
    let result = json!({"rows_loaded": 1_000_000, "rows_rejected": 7, "resumed_from_row": null});
    Event::Completed { result, output: None }
}
