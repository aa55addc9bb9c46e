//! Loads with a task manager that is down, loses answers, interrupts, or loses rows.

use std::collections::VecDeque;

use common::report::{Event, LoadCheckpoint, Outcome, RowBatch};
use common::task::TaskId;
use common::task::spec::OnBadRow;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::fake_load::{Fault, Load};
use super::harness::{Harness, eventually};

const SEED: u64 = 5;

/// A file of `count` rows, every hundredth of which is invalid.
fn people(count: u64) -> String {
    let mut content = "email,name\n".to_owned();
    for row in 1..=count {
        content += &match row % 100 {
            0 => format!("nobody,Person {row}\n"),
            _ => format!("person{row}@example.org,\"Person, {row}\"\n"),
        };
    }
    content
}

/// The number of valid rows of `people`.
fn good(count: u64) -> u64 {
    count - count / 100
}

/// Asserts that a load holds every row of `people` once, in order.
fn assert_complete(load: &Load, count: u64) {
    let expected: Vec<_> = (1..=count)
        .filter(|row| row % 100 != 0)
        .map(|row| (row, format!("Person, {row}"), format!("person{row}@example.org")))
        .collect();
    assert!(load.rows == expected, "{} rows of {}", load.rows.len(), expected.len());
    let rejected: Vec<_> = load.rejected.iter().map(|row| (row.row, row.line)).collect();
    let expected: Vec<_> = (1..=count / 100).map(|row| (row * 100, row * 100 + 1)).collect();
    assert_eq!(rejected, expected);
}

async fn started(content: &str, on_bad_row: OnBadRow, load: Load) -> (Harness, TaskId) {
    let mut harness = Harness::new().await;
    let task = harness.load_task(content, on_bad_row).await;
    harness.api.script().loads.insert(task, load);
    harness.publish(&[task]).await;
    harness.start_real();
    (harness, task)
}

async fn result(harness: &Harness, task: TaskId) -> Value {
    match harness.ended(task).await {
        Event::Completed { result, output: None } => result,
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn every_row_is_sent_once_and_in_order() {
    let (mut harness, task) = started(&people(30_000), OnBadRow::Skip, Load::default()).await;
    let result = result(&harness, task).await;
    let expected = json!({
        "rows_loaded": good(30_000), "rows_rejected": 300, "resumed_from_row": null,
        "dialect": {"delimiter": ",", "encoding": "utf-8"}
    });
    assert_eq!(result, expected);
    harness.end().await;
    let script = harness.api.script();
    let load = &script.loads[&task];
    assert_complete(load, 30_000);
    assert_eq!(load.calls, 15, "no batch was sent twice");
    assert!(load.max_concurrent <= 4, "{} concurrent batches", load.max_concurrent);
}

#[tokio::test]
async fn rejected_rows_are_reported_while_a_load_runs() {
    let faults = [Fault::None, Fault::None].into_iter().chain([Fault::Down; 20]).collect();
    let load = Load { faults, ..Load::default() };
    let (mut harness, task) = started(&people(20_000), OnBadRow::Skip, load).await;
    eventually("a heartbeat after the first rows", || {
        harness.api.script().reports.iter().any(|report| match &report.event {
            Event::Heartbeat { progress: Some(progress) } => {
                progress.rejected_rows.is_some_and(|rows| (1..200).contains(&rows))
            }
            _ => false,
        })
    })
    .await;
    assert_eq!(result(&harness, task).await["rows_rejected"], 200);
    harness.end().await;
}

#[tokio::test]
async fn every_row_is_loaded_once_despite_faults() {
    let mut random = StdRng::seed_from_u64(SEED);
    for round in 0..5 {
        let faults: VecDeque<_> =
            (0..30).map(|_| Fault::ALL[random.random_range(0..Fault::ALL.len())]).collect();
        println!("round {round}: {faults:?}");
        let load = Load { faults, ..Load::default() };
        let (mut harness, task) = started(&people(20_000), OnBadRow::Skip, load).await;
        let result = result(&harness, task).await;
        assert_eq!(result["rows_loaded"], good(20_000));
        harness.end().await;
        assert_complete(&harness.api.script().loads[&task], 20_000);
    }
}

#[tokio::test]
async fn a_load_continues_after_the_task_manager_restarts() {
    let (mut harness, task) = started(&people(200_000), OnBadRow::Skip, Load::default()).await;
    eventually("rows", || harness.api.script().loads[&task].calls > 5).await;
    harness.api.script().is_down = true;
    let calls = harness.api.script().loads[&task].calls;
    eventually("tries", || harness.api.script().loads[&task].calls > calls + 10).await;
    harness.api.script().is_down = false;
    result(&harness, task).await;
    harness.end().await;
    assert_complete(&harness.api.script().loads[&task], 200_000);
}

#[tokio::test]
async fn a_load_resumes_at_its_checkpoint() {
    // A first attempt is killed after some batches.
    let content = people(10_000);
    let load = Load { end: Some((4_000, Outcome::Kill)), ..Load::default() };
    let (mut harness, first) = started(&content, OnBadRow::Skip, load).await;
    eventually("the third batch", || harness.api.script().loads[&first].calls > 2).await;
    harness.end().await;
    let mut load = harness.api.script().loads.remove(&first).unwrap();
    assert_eq!(load.checkpoint.as_ref().unwrap().row, 4_000);
    assert_eq!(harness.api.script().final_events(first), []);

    load.end = None;
    let mut harness = Harness::new().await;
    let task = harness.load_task(&content, OnBadRow::Fail).await;
    let checkpoint = serde_json::to_value(&load.checkpoint).unwrap();
    harness.api.script().attempts.get_mut(&task).unwrap().checkpoint = Some(checkpoint);
    harness.api.script().loads.insert(task, load);
    harness.publish(&[task]).await;
    harness.start_real();
    // The invalid rows do not fail the task: only the first attempt checks the whole file.
    let expected = json!({
        "rows_loaded": good(10_000), "rows_rejected": 100, "resumed_from_row": 4_001,
        "dialect": {"delimiter": ",", "encoding": "utf-8"}
    });
    assert_eq!(result(&harness, task).await, expected);
    harness.end().await;
    assert_complete(&harness.api.script().loads[&task], 10_000);
}

#[tokio::test]
async fn an_interrupt_in_an_answer_to_rows_ends_the_attempt() {
    for outcome in [Outcome::Stop, Outcome::Kill, Outcome::LeaseLost] {
        let load = Load { end: Some((2_000, outcome.clone())), ..Load::default() };
        let (mut harness, task) = started(&people(100_000), OnBadRow::Skip, load).await;
        eventually("an answer", || harness.api.script().loads[&task].calls > 1).await;
        harness.end().await;
        let script = harness.api.script();
        assert_eq!(script.final_events(task), [], "{outcome:?}: nothing more is reported");
        let calls = script.loads[&task].calls;
        assert!(calls <= 8, "{outcome:?}: {calls} batches were sent nevertheless");
    }
}

#[tokio::test]
async fn a_drain_releases_a_load() {
    let (mut harness, task) = started(&people(200_000), OnBadRow::Skip, Load::default()).await;
    eventually("rows", || harness.api.script().loads[&task].calls > 3).await;
    harness.end().await;
    let events = harness.api.script().final_events(task);
    assert_eq!(events, [Event::Released { checkpoint: None }]);
}

#[tokio::test]
async fn an_invalid_row_fails_the_task_before_anything_is_loaded() {
    let (mut harness, task) = started(&people(20_000), OnBadRow::Fail, Load::default()).await;
    let Event::Failed { error } = harness.ended(task).await else { panic!("it has bad rows") };
    assert_eq!((error.code.as_str(), error.error_count), ("bad_rows", 200));
    assert_eq!(error.errors.len(), 100);
    assert_eq!(error.errors[0].line, Some(101));
    harness.end().await;
    assert_eq!(harness.api.script().loads[&task].calls, 0);

    let (mut harness, task) = started(&people(99), OnBadRow::Fail, Load::default()).await;
    assert_eq!(result(&harness, task).await["rows_loaded"], 99);
    harness.end().await;
}

#[tokio::test]
async fn files_without_rows_or_columns_are_handled() {
    let (mut harness, task) = started("name,email\n", OnBadRow::Skip, Load::default()).await;
    let nothing = json!({
        "rows_loaded": 0, "rows_rejected": 0, "resumed_from_row": null, "dialect": {"delimiter": ",", "encoding": "utf-8"}
    });
    assert_eq!(result(&harness, task).await, nothing);
    harness.end().await;

    let (mut harness, task) = started("name,post\na,b\n", OnBadRow::Skip, Load::default()).await;
    let Event::Failed { error } = harness.ended(task).await else { panic!("it lacks a column") };
    assert_eq!(error.code, "missing_column");
    harness.end().await;
}

#[tokio::test]
async fn a_delimiter_is_detected_and_reported() {
    // Commas within names stay.
    let content = people(5_000).replace(", ", "\0").replace(',', ";").replace('\0', ", ");
    let (mut harness, task) = started(&content, OnBadRow::Skip, Load::default()).await;
    let result = result(&harness, task).await;
    assert_eq!(
        (&result["rows_loaded"], &result["dialect"]),
        (&json!(good(5_000)), &json!({"delimiter": ";", "encoding": "utf-8"}))
    );
    harness.end().await;
    assert_complete(&harness.api.script().loads[&task], 5_000);
}

#[tokio::test]
async fn rows_of_another_file_are_not_mixed_in() {
    let checkpoint = LoadCheckpoint {
        row: 7,
        offset: 70,
        line: 8,
        loaded: 7,
        rejected: 0,
        sha256: "of another".to_owned(),
    };
    let load = Load { checkpoint: Some(checkpoint), ..Load::default() };
    let (mut harness, task) = started(&people(10), OnBadRow::Skip, load).await;
    let Event::Failed { error } = harness.ended(task).await else { panic!("it is another file") };
    assert_eq!(error.code, "other_file");
    harness.end().await;
    assert!(harness.api.script().loads[&task].rows.is_empty());
}

#[tokio::test]
async fn a_load_waits_while_the_database_is_full() {
    let load = Load { faults: [Fault::Full].into(), ..Load::default() };
    let (mut harness, task) = started(&people(10), OnBadRow::Fail, load).await;
    let Event::Retry { reason: None, waits_for: Some(what), .. } = harness.ended(task).await else {
        panic!("the task does not wait")
    };
    assert!(what.contains("Make space."), "{what}");
    harness.end().await;
}

#[tokio::test]
async fn rows_that_the_task_manager_lost_are_sent_again() {
    let (mut harness, task) = started(&people(200_000), OnBadRow::Skip, Load::default()).await;
    eventually("rows", || harness.api.script().loads[&task].rows.len() > 10_000).await;
    {
        // As after a crash of a database that had not flushed everything to its disk.
        let mut script = harness.api.script();
        let load = script.loads.get_mut(&task).unwrap();
        (load.rows, load.rejected, load.checkpoint) = Default::default();
    }
    result(&harness, task).await;
    harness.end().await;
    assert_complete(&harness.api.script().loads[&task], 200_000);
}

#[test]
fn a_batch_has_a_stable_wire_format() {
    let batch = RowBatch {
        attempt: 2,
        from: None,
        checkpoint: LoadCheckpoint {
            row: 1,
            offset: 20,
            line: 3,
            loaded: 1,
            rejected: 0,
            sha256: "00".to_owned(),
        },
        rows: vec![(1, "Ada".to_owned(), "ada@example.org".to_owned())],
        rejected: Vec::new(),
    };
    let expected = json!({
        "attempt": 2,
        "from": null,
        "checkpoint":
            {"row": 1, "offset": 20, "line": 3, "loaded": 1, "rejected": 0, "sha256": "00"},
        "rows": [[1, "Ada", "ada@example.org"]],
        "rejected": [],
    });
    assert_eq!(serde_json::to_value(batch).unwrap(), expected);
}
