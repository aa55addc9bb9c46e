//! JSON stored by earlier versions must stay readable for ever. `stored/` has a file of each
//! version: each release adds one, and none is ever changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue fails")]

use common::bulk_action::BulkActionResult;
use common::csv_preview::CsvPreview;
use common::file_statistics::FileStatisticsRow;
use common::message::Validation;
use common::problem::Problem;
use common::report::{LoadCheckpoint, Output};
use common::task::spec::{CsvAggregationSpec, CsvPreviewSpec, DataUploadSpec, OnBadRow, TaskSpec};
use common::task::{AcceptedTask, KindName, Progress, TaskKind, TaskState};
use common::user_event::RecordedEvent;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const VERSIONS: [(&str, &str); 1] = [("0.1.0", include_str!("stored/0.1.0.json"))];

fn versions() -> impl Iterator<Item = (&'static str, Value)> {
    VERSIONS.into_iter().map(|(version, text)| (version, serde_json::from_str(text).unwrap()))
}

/// Reads a stored value, also with a field of a later version in each of its objects, without loss.
fn reads<T: DeserializeOwned + Serialize>(version: &str, stored: &Value) {
    let read = |value: &Value| match serde_json::from_value::<T>(value.clone()) {
        Ok(read) => serde_json::to_value(read).unwrap(),
        Err(error) => panic!("{version}: {error}: {value}"),
    };
    let again = read(stored);
    assert!(holds(&again, stored), "{version}: {stored} is read as {again}");
    assert_eq!(
        read(&with_new_fields(stored)),
        again,
        "{version}: a field of a later version is ignored"
    );
}

/// Whether `read` contains everything in `stored`.
fn holds(read: &Value, stored: &Value) -> bool {
    match (read, stored) {
        (Value::Object(read), Value::Object(stored)) => {
            stored.iter().all(|(name, value)| read.get(name).is_some_and(|read| holds(read, value)))
        }
        _ => read == stored,
    }
}

fn with_new_fields(value: &Value) -> Value {
    match value {
        // The keys are names of cities, not fields.
        Value::Object(fields) if fields.contains_key("Berlin") => value.clone(),
        // The task manager alone parses the filter of a bulk action.
        Value::Object(fields) if fields.contains_key("except") => value.clone(),
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), with_new_fields(value))).collect();
            fields.insert("of_a_later_version".to_owned(), json!({"x": [1]}));
            Value::Object(fields)
        }
        value => value.clone(),
    }
}

#[test]
fn documents_of_earlier_versions_are_read() {
    for (version, stored) in versions() {
        let mut kinds = Vec::new();
        for task in stored["tasks"].as_array().unwrap() {
            reads::<TaskKind>(version, &task["kind"]);
            reads::<TaskState>(version, &task["state"]);
            let spec: TaskSpec = serde_json::from_value(task["spec"].clone()).unwrap();
            assert_eq!(spec.kind().as_str(), task["kind"]);
            kinds.push(spec.kind());
            if spec != TaskSpec::FileStatistics {
                reads::<TaskSpec>(version, &task["spec"]);
            }
            reads::<Option<Progress>>(version, &task["progress"]);
            reads::<Option<Output>>(version, &task["output"]);
            reads::<Option<Problem>>(version, &task["error"]);
            match spec.kind() {
                TaskKind::DataUpload => {
                    reads::<Option<LoadCheckpoint>>(version, &task["checkpoint"]);
                }
                TaskKind::FileStatistics => {
                    reads::<Option<FileStatisticsRow>>(version, &task["result"]);
                }
                TaskKind::CsvPreview => reads::<Option<CsvPreview>>(version, &task["result"]),
                TaskKind::MessageValidation => {
                    reads::<Option<Validation>>(version, &task["result"]);
                }
                TaskKind::BulkAction => reads::<Option<BulkActionResult>>(version, &task["result"]),
                TaskKind::UserEvent => reads::<Option<RecordedEvent>>(version, &task["result"]),
                TaskKind::CsvAggregation | TaskKind::ReportEmail => {}
            }
        }
        assert!(TaskKind::ALL.iter().all(|kind| kinds.contains(kind)), "{version} has every kind");
        reads::<AcceptedTask>(version, &stored["answer"]);
        reads::<Vec<String>>(version, &stored["recipients"]);
        reads::<Vec<KindName>>(version, &stored["worker_kinds"]);
    }
}

#[test]
fn specs_are_read_without_their_default_fields() {
    let read = |text: &str| serde_json::from_str::<TaskSpec>(text).unwrap();
    let aggregation = TaskSpec::CsvAggregation(CsvAggregationSpec::default());
    assert_eq!(read(r#"{"kind": "csv_aggregation"}"#), aggregation);
    let load = TaskSpec::DataUpload(DataUploadSpec::default());
    let preview = TaskSpec::CsvPreview(CsvPreviewSpec::default());
    assert_eq!(read(r#"{"kind": "csv_preview"}"#), preview);
    assert_eq!(serde_json::to_string(&preview).unwrap(), r#"{"kind":"csv_preview"}"#);
    assert_eq!(read(r#"{"kind": "data_upload"}"#), load);
    let statistics = r#"{"kind": "file_statistics", "of_a_later_version": 1}"#;
    assert_eq!(read(statistics), TaskSpec::FileStatistics);
}

/// The rule for a new field: it has a default, and is not written if it has that.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NextDataUploadSpec {
    on_bad_row: OnBadRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_size: Option<u64>,
}

#[test]
fn an_added_default_field_changes_no_stored_document() {
    let stored = r#"{"on_bad_row":"skip"}"#;
    let read: NextDataUploadSpec = serde_json::from_str(stored).unwrap();
    assert_eq!(read.batch_size, None);
    assert_eq!(serde_json::to_string(&read).unwrap(), stored, "the same file is recognized");
    let next = serde_json::to_string(&NextDataUploadSpec { batch_size: Some(1), ..read }).unwrap();
    let read: DataUploadSpec = serde_json::from_str(&next).unwrap();
    assert_eq!(
        read.on_bad_row,
        OnBadRow::Skip,
        "the previous version reads what the next one writes"
    );
}
