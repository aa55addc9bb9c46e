//! Batches in any order: every row is loaded once, and none without the fence.

use std::time::{Duration, Instant};

use common::report::{Attempt, Event, Outcome};
use common::task::TaskState;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use reqwest::StatusCode;
use serde_json::json;

use super::app::{TestApp, completed, problem};
use super::backend::{Backend, backend_tests};
use super::loads::{
    FULL, batch, checkpoint, load, loaded, processing, row_numbers, rows_in_database, send, sent,
};

backend_tests![
    a_repeated_batch_loads_nothing,
    batches_in_flight_are_loaded_in_order,
    a_batch_without_its_predecessor_is_refused_after_a_second,
    nothing_is_loaded_after_the_fence_is_lost,
    two_concurrent_attempts_load_no_row_twice,
    a_batch_renews_the_lease,
    the_checkpoint_of_a_report_is_ignored_for_loads,
];

fn numbers(to: u64) -> Vec<u64> {
    (1..=to).collect()
}

async fn a_repeated_batch_loads_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = loaded(&mut app, 20).await;
    let id = attempt.task_id;
    // The last one, earlier ones, and one with another start.
    for (from, to) in [(0, 20), (0, 10), (10, 20), (10, 30)] {
        let answer = sent(&app, id, &batch(&attempt, from, to)).await;
        assert_eq!(answer.outcome, Outcome::Continue);
        assert_eq!(answer.checkpoint, checkpoint(20), "{from} to {to}");
    }
    assert_eq!(row_numbers(&app, id).await, numbers(20));
}

async fn batches_in_flight_are_loaded_in_order(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    for round in 0..5 {
        let mut starts: Vec<_> = (0..6).map(|number| round * 300 + number * 50).collect();
        starts.shuffle(&mut rand::rng());
        let batches: Vec<_> = starts.iter().map(|from| batch(&attempt, *from, from + 50)).collect();
        // Each is sent twice, as after a broken connection.
        let answers =
            batches.iter().chain(&batches).map(|batch| sent(&app, attempt.task_id, batch));
        for answer in join_all(answers).await {
            assert_eq!(answer.outcome, Outcome::Continue);
        }
    }
    assert_eq!(row_numbers(&app, attempt.task_id).await, numbers(1_500));
}

async fn a_batch_without_its_predecessor_is_refused_after_a_second(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = loaded(&mut app, 10).await;
    let begun = Instant::now();
    let (status, body) = problem(send(&app, attempt.task_id, &batch(&attempt, 20, 30)).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("out_of_order")));
    assert!(begun.elapsed() >= Duration::from_millis(900), "it waits for them");
    assert_eq!(row_numbers(&app, attempt.task_id).await, numbers(10));
    load(&app, &attempt, 10, 30).await;
}

fn expire(app: &TestApp) {
    app.sql("UPDATE tasks SET leased_until = '2000-01-01 00:00:00' WHERE state = 'processing'");
}

async fn nothing_is_loaded_after_the_fence_is_lost(backend: Backend) {
    for (verb, outcome, rows) in
        [("stop", Outcome::Stop, 0), ("kill", Outcome::Kill, 10), ("lease", Outcome::LeaseLost, 10)]
    {
        let mut app = TestApp::start(backend).await;
        let attempt = loaded(&mut app, 10).await;
        let id = attempt.task_id;
        let state = match verb {
            "stop" => TaskState::Stopped,
            "kill" => TaskState::Killed,
            _ => TaskState::Queued,
        };
        // One waits for its predecessor while the fence is taken.
        let early = batch(&attempt, 20, 30);
        let taken = async {
            match verb {
                "lease" => expire(&app),
                verb => assert!(app.interrupt(id, verb).await.0.is_success()),
            }
            app.wait_for_state(id, state).await;
            sent(&app, id, &batch(&attempt, 10, 20)).await
        };
        let (late, early) = tokio::join!(taken, send(&app, id, &early));
        assert_eq!(late.outcome, outcome, "{verb}");
        assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&early.status()));
        assert_eq!(rows_in_database(&app), rows, "{verb}");
        assert_eq!(row_numbers(&app, id).await, numbers(rows as u64), "{verb}");
    }
}

async fn two_concurrent_attempts_load_no_row_twice(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let first = loaded(&mut app, 100).await;
    expire(&app);
    app.other_worker();
    let second = app.next_attempt().await;
    assert_eq!((second.task_id, second.attempt), (first.task_id, 2));
    assert_eq!(second.checkpoint, checkpoint(100).map(|checkpoint| json!(checkpoint)));
    let send_all = async |attempt: &Attempt| {
        let mut outcomes = Vec::new();
        for from in (0..500).step_by(50) {
            let answer = sent(&app, attempt.task_id, &batch(attempt, from, from + 50)).await;
            outcomes.push(answer.outcome);
        }
        outcomes
    };
    let (lost, held) = tokio::join!(send_all(&first), send_all(&second));
    assert!(lost.iter().all(|outcome| *outcome == Outcome::LeaseLost), "{lost:?}");
    assert!(held.iter().all(|outcome| *outcome == Outcome::Continue), "{held:?}");
    assert_eq!(row_numbers(&app, first.task_id).await, numbers(500));
}

async fn a_batch_renews_the_lease(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    // A second before the end of the lease.
    let soon = app.time(chrono::TimeDelta::seconds(1));
    app.sql(&format!("UPDATE tasks SET leased_until = {soon}"));
    load(&app, &attempt, 0, 10).await;
    let later = app.time(chrono::TimeDelta::seconds(20));
    assert_eq!(app.sql(&format!("UPDATE tasks SET alone = alone WHERE leased_until > {later}")), 1);
}

/// A worker that returns a task may not know that its last batches were stored.
async fn the_checkpoint_of_a_report_is_ignored_for_loads(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = loaded(&mut app, 2 * FULL).await;
    let behind = Some(json!(checkpoint(FULL)));
    app.report(&attempt, Event::Released { checkpoint: behind.clone() }).await;
    let second = app.next_attempt().await;
    assert_eq!(second.checkpoint, Some(json!(checkpoint(2 * FULL))));
    let reason = Some("the disk is full".to_owned());
    app.report(
        &second,
        Event::Retry { after: Some(0.0), checkpoint: behind, reason, waits_for: None },
    )
    .await;
    let third = app.next_attempt().await;
    assert_eq!(third.checkpoint, Some(json!(checkpoint(2 * FULL))));
    load(&app, &third, 2 * FULL, 2 * FULL + 1).await;
    app.report(&third, completed(0)).await;
    assert_eq!(app.task(third.task_id).await.result.unwrap()["rows_loaded"], 2 * FULL + 1);
}
