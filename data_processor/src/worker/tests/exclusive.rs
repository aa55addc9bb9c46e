//! Tasks that are suspected of killing workers run alone in their lane, or are released.

use common::report::{Attempt, Event, Outcome};

use super::LONG;
use super::harness::{Gate, Harness, Step, eventually};

/// An exclusive attempt that waits longer than any test.
fn patient(attempt: &mut Attempt) {
    attempt.exclusive = true;
    attempt.attempt = 30;
}

fn beats(harness: &Harness, task: common::task::TaskId) -> usize {
    harness.api.script().reports.iter().filter(|report| report.task_id == task).count()
}

fn is_released(harness: &Harness, task: common::task::TaskId) -> bool {
    harness.api.script().final_events(task) == [Event::Released { checkpoint: None }]
}

#[tokio::test]
async fn an_exclusive_task_runs_alone_in_its_lane() {
    let mut harness = Harness::new().await;
    let [first, second, later] = [(); 3].map(|()| harness.task(|_| ()));
    let exclusive = harness.task(patient);
    harness.publish(&[first, exclusive, second]).await;
    let gate = Gate::new();
    harness.start(4, LONG, gate.process());
    gate.until(first, Step::Started).await;
    gate.until(second, Step::Started).await;
    harness.publish(&[later]).await;
    eventually("its lease is renewed while it waits", || beats(&harness, exclusive) > 0).await;
    gate.let_end(1);
    eventually("one ends", || {
        gate.has(first, Step::Completed) || gate.has(second, Step::Completed)
    })
    .await;
    assert!(!gate.has(exclusive, Step::Started), "another one runs");
    gate.let_end(1);
    gate.until(exclusive, Step::Started).await;
    assert!(gate.has(first, Step::Completed) && gate.has(second, Step::Completed));
    let before = beats(&harness, exclusive);
    eventually("it runs for a while", || beats(&harness, exclusive) >= before + 2).await;
    assert!(!gate.has(later, Step::Started), "nothing else is started in its lane");
    assert_eq!(harness.depth().await, 1, "the message waits for any other worker");
    gate.let_end(2);
    gate.until(later, Step::Completed).await;
    assert!(gate.has(exclusive, Step::Completed));
    harness.end().await;
}

#[tokio::test]
async fn an_exclusive_task_does_not_block_the_other_lane() {
    let mut harness = Harness::new().await;
    let [small, later] = [(); 2].map(|()| harness.small_task());
    let exclusive = harness.task(patient);
    harness.publish(&[small]).await;
    let gate = Gate::new();
    harness.start(2, LONG, gate.process());
    gate.until(small, Step::Started).await;
    harness.publish(&[exclusive]).await;
    gate.until(exclusive, Step::Started).await;
    assert!(!gate.has(small, Step::Completed), "it did not wait for the small one");
    harness.publish(&[later]).await;
    gate.until(later, Step::Started).await;
    assert!(!gate.has(exclusive, Step::Completed), "nor does a small one wait for it");
    gate.let_end(3);
    for task in [small, exclusive, later] {
        assert!(matches!(harness.ended(task).await, Event::Completed { .. }));
    }
    harness.end().await;
}

#[tokio::test]
async fn an_exclusive_task_that_cannot_start_soon_is_released() {
    let mut harness = Harness::new().await;
    let [running, later] = [(); 2].map(|()| harness.task(|_| ()));
    let exclusive = harness.task(|attempt| attempt.exclusive = true);
    harness.publish(&[running, exclusive]).await;
    let gate = Gate::new();
    harness.start(2, LONG, gate.process());
    gate.until(running, Step::Started).await;
    harness.publish(&[later]).await;
    eventually("it is released", || is_released(&harness, exclusive)).await;
    gate.until(later, Step::Started).await;
    assert!(!gate.has(running, Step::Completed), "the long one still runs");
    assert!(!gate.has(exclusive, Step::Started));
    gate.let_end(2);
    harness.end().await;
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn a_worker_has_one_exclusive_task_in_all_lanes() {
    let mut harness = Harness::new().await;
    let large = harness.task(patient);
    let small = harness.small_task_with(patient);
    let healthy = harness.small_task();
    harness.publish(&[large]).await;
    let gate = Gate::new();
    harness.start(2, LONG, gate.process());
    gate.until(large, Step::Started).await;
    harness.publish(&[small, healthy]).await;
    eventually("it is released", || is_released(&harness, small)).await;
    gate.until(healthy, Step::Started).await;
    gate.let_end(2);
    harness.end().await;
    assert!(!gate.has(small, Step::Started));
}

#[tokio::test]
async fn several_exclusive_tasks_are_claimed_one_by_one() {
    let mut harness = Harness::new().await;
    let first: Vec<_> = (0..3).map(|_| harness.small_task_with(patient)).collect();
    harness.publish(&first).await;
    let gate = Gate::new();
    harness.start(1, LONG, gate.process());
    gate.until(first[0], Step::Started).await;
    for task in &first[1..] {
        eventually("it is released", || is_released(&harness, *task)).await;
    }
    let next: Vec<_> = (0..3).map(|_| harness.small_task_with(patient)).collect();
    let healthy: Vec<_> = (0..3).map(|_| harness.small_task()).collect();
    harness.publish(&next).await;
    gate.let_end(7);
    for task in &next {
        assert!(matches!(harness.ended(*task).await, Event::Completed { .. }));
    }
    harness.publish(&healthy).await;
    for task in &healthy {
        harness.ended(*task).await;
    }
    harness.end().await;
    let claimed: Vec<_> =
        harness.api.script().claims.iter().map(|claim| claim.deliveries.len()).collect();
    assert_eq!(claimed[..4], [3, 1, 1, 1], "{claimed:?}");
}

#[tokio::test]
async fn a_waiting_task_that_is_interrupted_never_starts() {
    let mut harness = Harness::new().await;
    let first = harness.task(|_| ());
    let exclusive = harness.task(patient);
    let last = harness.task(|_| ());
    harness.publish(&[first, exclusive]).await;
    let gate = Gate::new();
    harness.start(2, LONG, gate.process());
    gate.until(first, Step::Started).await;
    harness.api.script().heartbeats.insert(exclusive, Outcome::Stop);
    // Another task starts while the first one runs, so the waiting one was discarded.
    harness.publish(&[last]).await;
    gate.until(last, Step::Started).await;
    gate.let_end(2);
    harness.end().await;
    assert!(!gate.has(exclusive, Step::Started));
    assert_eq!(harness.api.script().final_events(exclusive), []);
}
