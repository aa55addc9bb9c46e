//! Bulk actions with a task manager that is down, fails a step or interrupts one.

use common::bulk_action::BulkAction;
use common::report::{Event, Outcome, StepAnswer};
use common::task::TaskId;
use common::task::spec::{BulkActionSpec, TaskSpec};
use serde_json::{Map, Value};

use super::harness::{Harness, eventually};

const NEXT: StepAnswer = StepAnswer { outcome: Outcome::Continue, is_complete: false };
const LAST: StepAnswer = StepAnswer { outcome: Outcome::Continue, is_complete: true };

/// A worker that runs a bulk action, the steps of which get these answers.
async fn started(answers: &[StepAnswer]) -> (Harness, TaskId) {
    let mut harness = Harness::new().await;
    let (action, filter) = (BulkAction::Kill, Map::new());
    let spec = BulkActionSpec { action, filter, ids: None, matched: 0 };
    let task = harness.task(|attempt| attempt.spec = TaskSpec::BulkAction(spec));
    harness.api.script().steps.extend(answers.iter().cloned());
    harness.publish(&[task]).await;
    harness.start_real();
    (harness, task)
}

#[tokio::test]
async fn steps_are_requested_until_none_is_left() {
    let (mut harness, task) = started(&[NEXT, NEXT, LAST]).await;
    let completed = Event::Completed { result: Value::Null, output: None };
    assert_eq!(harness.ended(task).await, completed);
    assert!(harness.api.script().steps.is_empty());
    harness.end().await;
}

#[tokio::test]
async fn a_step_is_repeated_while_the_task_manager_is_down() {
    let (mut harness, task) = started(&[NEXT]).await;
    eventually("the first step", || harness.api.script().steps.is_empty()).await;
    // Without an answer, it refuses a step for the time being.
    eventually("repeats", || harness.api.script().unanswered > 2).await;
    harness.api.script().steps.push_back(LAST);
    assert!(matches!(harness.ended(task).await, Event::Completed { .. }));
    harness.end().await;
}

/// During an upgrade of a fleet, the next request may reach a task manager that is newer.
#[tokio::test]
async fn a_step_is_repeated_until_a_task_manager_knows_steps() {
    let (mut harness, task) = started(&[NEXT]).await;
    {
        let mut script = harness.api.script();
        (script.knows_no_steps, script.unanswered) = (true, 0);
    }
    eventually("repeats", || harness.api.script().unanswered > 2).await;
    harness.api.script().knows_no_steps = false;
    harness.api.script().steps.push_back(LAST);
    assert!(matches!(harness.ended(task).await, Event::Completed { .. }));
    harness.end().await;
}

#[tokio::test]
async fn an_interrupt_in_an_answer_to_a_step_ends_the_attempt() {
    for outcome in [Outcome::Stop, Outcome::Kill, Outcome::LeaseLost] {
        let ended = StepAnswer { outcome, is_complete: false };
        let (mut harness, task) = started(&[NEXT, ended]).await;
        eventually("the steps", || harness.api.script().steps.is_empty()).await;
        harness.end().await;
        assert_eq!(harness.api.script().final_events(task), []);
    }
}
