//! Rows as earlier versions stored them.

use common::task::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{SONGS, TestApp};
use super::backend::{Backend, backend_tests};

backend_tests![rows_of_earlier_versions_are_read, answers_of_earlier_versions_are_replayed];

const VERSIONS: [&str; 1] = [include_str!("../../../common/tests/stored/0.1.0.json")];

fn versions() -> impl Iterator<Item = Value> {
    VERSIONS.into_iter().map(|text| serde_json::from_str(text).unwrap())
}

/// An SQL literal.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => format!("'{text}'"),
        value => {
            let text = value.to_string();
            assert!(!text.contains(['\'', '\\']), "it would have to be escaped: {text}");
            format!("'{text}'")
        }
    }
}

async fn rows_of_earlier_versions_are_read(backend: Backend) {
    let app = TestApp::start(backend).await;
    let owner_of = app.upload(SONGS).await.task.task_id.0.simple();
    for stored in versions() {
        for task in stored["tasks"].as_array().unwrap() {
            let id = TaskId::new();
            let columns =
                ["kind", "state", "spec", "progress", "checkpoint", "output", "result", "error"];
            let values = columns.map(|column| literal(&task[column])).join(", ");
            let inserted = app.sql(&format!(
                "INSERT INTO tasks (id, owner, {}, created_at, changed_at) SELECT X'{}', owner, {values}, \
                 created_at, changed_at FROM tasks WHERE id = X'{owner_of}'",
                columns.join(", "),
                id.0.simple(),
            ));
            assert_eq!(inserted, 1);
            let mut shown: Value = app.get(&format!("/v1/tasks/{id}")).await.json().await.unwrap();
            // A field that earlier versions did not have.
            if let Some(progress) = shown["progress"].as_object_mut() {
                assert_eq!(progress.remove("rejected_rows"), Some(Value::Null));
            }
            for field in ["kind", "state", "progress", "error"] {
                assert_eq!(shown[field], task[field], "{field} of {task}");
            }
            if !task["result"].is_null() {
                assert_eq!(shown["result"], task["result"]);
            }
        }
    }
}

async fn answers_of_earlier_versions_are_replayed(backend: Backend) {
    let app = TestApp::start(backend).await;
    let path = "/v1/data_processor/upload?file_name=songs.csv";
    let send = || {
        let request = app.request(Method::POST, path).header("Idempotency-Key", "key");
        request.body(SONGS).send()
    };
    assert_eq!(send().await.unwrap().status(), StatusCode::ACCEPTED);
    for stored in versions() {
        let mut answer = stored["answer"].clone();
        app.sql(&format!("UPDATE idempotency_keys SET answer = {}", literal(&answer)));
        let again = send().await.unwrap();
        assert_eq!(again.status(), StatusCode::ACCEPTED);
        let mut again: Value = again.json().await.unwrap();
        for answer in [&mut answer, &mut again] {
            answer["timestamp"] = json!(null);
        }
        // An absent value is null: fields that were added since are.
        let known = answer.as_object().unwrap();
        let links = answer["links"].as_object().unwrap();
        let is_new = |name: &String, value: &Value, known: &serde_json::Map<String, Value>| {
            value.is_null() && !known.contains_key(name)
        };
        again["links"].as_object_mut().unwrap().retain(|name, value| !is_new(name, value, links));
        again.as_object_mut().unwrap().retain(|name, value| !is_new(name, value, known));
        assert_eq!(again, answer);
    }
}
