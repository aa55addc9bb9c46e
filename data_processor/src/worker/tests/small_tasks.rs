//! Small tasks run independently of large ones, and share calls.

use std::time::Duration;

use common::report::{Event, Outcome};

use super::LONG;
use super::harness::{Gate, Harness, Step, eventually};
use crate::config::WorkerConfig;

#[tokio::test]
async fn small_tasks_do_not_wait_for_large_ones() {
    let mut harness = Harness::new().await;
    let large = [(); 2].map(|()| harness.task(|_| ()));
    harness.publish(&large).await;
    let gate = Gate::new();
    harness.start(1, LONG, gate.process());
    gate.until(large[0], Step::Started).await;
    let small = [(); 3].map(|()| harness.small_task());
    harness.publish(&small).await;
    for task in small {
        gate.until(task, Step::Started).await;
    }
    assert!(!gate.has(large[0], Step::Completed) && !gate.has(large[1], Step::Started));
    gate.let_end(5);
    for task in small.into_iter().chain(large) {
        assert!(matches!(harness.ended(task).await, Event::Completed { .. }));
    }
    harness.end().await;
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn large_tasks_do_not_wait_for_small_ones() {
    let mut harness = Harness::new().await;
    let slots = usize::from(WorkerConfig::default().small_slots.get());
    let small: Vec<_> = (0..slots + 10).map(|_| harness.small_task()).collect();
    harness.publish(&small).await;
    let gate = Gate::new();
    harness.start(1, LONG, gate.process());
    gate.until(small[slots - 1], Step::Started).await;
    let large = harness.task(|_| ());
    harness.publish(&[large]).await;
    gate.until(large, Step::Started).await;
    assert!(!gate.has(small[slots], Step::Started), "every slot for small tasks is taken");
    gate.let_end(slots + 11);
    for task in small {
        harness.ended(task).await;
    }
    harness.ended(large).await;
    harness.end().await;
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn many_small_tasks_share_calls() {
    let mut harness = Harness::new().await;
    let tasks: Vec<_> = (0..200).map(|_| harness.small_task()).collect();
    harness.publish(&tasks).await;
    harness.start_real();
    for task in &tasks {
        assert!(matches!(harness.ended(*task).await, Event::Completed { .. }));
    }
    harness.end().await;
    assert_eq!(harness.api.script().claims.len(), 1, "all were claimed together");
    // Calls with reports, calls of an idle worker, and events that happened during one of them.
    let calls = harness.api.script().workers.len();
    assert!(calls < 50, "{calls} calls");
    assert_eq!(harness.depth().await, 0);
}

#[tokio::test]
async fn an_interrupt_reaches_one_of_many_small_tasks() {
    for outcome in [Outcome::Stop, Outcome::Kill, Outcome::LeaseLost] {
        let mut harness = Harness::new().await;
        let [first, stopped, last] = [(); 3].map(|()| harness.small_task());
        harness.publish(&[first, stopped, last]).await;
        let gate = Gate::new();
        harness.start(1, LONG, gate.process());
        gate.until(last, Step::Started).await;
        harness.api.script().heartbeats.insert(stopped, outcome.clone());
        gate.until(stopped, Step::Interrupted).await;
        gate.let_end(2);
        for task in [first, last] {
            assert!(matches!(harness.ended(task).await, Event::Completed { .. }), "{outcome:?}");
        }
        harness.end().await;
        assert_eq!(harness.api.script().final_events(stopped), [], "{outcome:?}");
        assert_eq!(harness.depth().await, 0);
    }
}

#[tokio::test]
async fn a_drain_releases_small_tasks_and_leaves_the_rest_in_the_queue() {
    let mut harness = Harness::new().await;
    let tasks: Vec<_> = (0..3).map(|_| harness.small_task()).collect();
    harness.publish(&tasks).await;
    let gate = Gate::new();
    harness.start(1, Duration::from_millis(50), gate.process());
    gate.until(tasks[2], Step::Started).await;
    harness.shut_down();
    eventually("draining", || harness.api.script().workers.iter().any(|w| w.draining)).await;
    let late = harness.small_task();
    harness.publish(&[late]).await;
    harness.end().await;
    for task in tasks {
        let events = harness.api.script().final_events(task);
        assert_eq!(events, [Event::Released { checkpoint: None }]);
    }
    assert_eq!(harness.api.script().claims_of(late), 0);
    assert_eq!(harness.depth().await, 1);
}
