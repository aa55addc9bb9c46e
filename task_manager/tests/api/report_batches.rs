//! Batches of reports of small tasks.

use std::collections::BTreeSet;

use common::report::{Attempt, Event, Outcome, Report};
use common::task::{TaskId, TaskState};
use serde_json::json;

use super::app::TestApp;
use super::backend::{Backend, backend_tests};
use super::messages::{json_of, processing, validated};

backend_tests![
    each_report_of_a_batch_is_answered_separately,
    a_task_reported_twice_in_a_batch_ends_once,
];

fn report(attempt: &Attempt, event: Event) -> Report {
    Report { task_id: attempt.task_id, attempt: attempt.attempt, event }
}

async fn each_report_of_a_batch_is_answered_separately(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let mut attempts = Vec::new();
    for message in ["good", "killed", "fenced", "retried", "none", "\u{0}'\"\\ 𝄞", "runs"] {
        attempts.push(processing(&mut app, message).await);
    }
    let [good, killed, fenced, again, none, odd, runs] = &attempts[..] else { panic!() };
    app.interrupt(killed.task_id, "kill").await;
    let later = Event::Retry {
        after: Some(0.0),
        checkpoint: Some(json!({"draws": 1})),
        reason: None,
        waits_for: None,
    };
    let stranger = Attempt { task_id: TaskId::new(), ..good.clone() };
    let wrong = Attempt { attempt: fenced.attempt + 1, ..fenced.clone() };
    let batch = |none_too: bool| {
        let mut batch = vec![
            report(good, validated("Direct", 7, 1)),
            report(killed, validated("Direct", 7, 1)),
            report(&wrong, validated("Direct", 7, 1)),
            report(again, later.clone()),
            report(odd, validated("Direct", 9, 1)),
            report(&stranger, validated("Direct", 7, 1)),
            report(runs, Event::Heartbeat { progress: None }),
        ];
        if none_too {
            batch.push(report(none, validated("Nobody", 7, 1)));
        }
        batch
    };
    let expected = [
        Outcome::Accepted,
        Outcome::Kill,
        Outcome::LeaseLost,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::LeaseLost,
        Outcome::Continue,
    ];
    assert_eq!(app.report_all(batch(false)).await, expected);
    // The same again, with an invalid one: all are applied one by one.
    let outcomes = app.report_all(batch(true)).await;
    assert_eq!(outcomes[..7], expected, "repeated");
    assert!(matches!(outcomes[7], Outcome::Rejected { .. }), "{outcomes:?}");

    for (attempt, state) in [
        (good, TaskState::Processed),
        (killed, TaskState::Killed),
        (fenced, TaskState::Processing),
        (none, TaskState::Processing),
        (odd, TaskState::Processed),
        (runs, TaskState::Processing),
    ] {
        assert_eq!(app.state(attempt.task_id).await, state);
    }
    let result = app.task(odd.task_id).await.result.unwrap();
    assert_eq!(result, json!({"category": "Direct", "number": 9, "draws": 1}));
    let next = app.next_attempt().await;
    assert_eq!((next.task_id, next.attempt), (again.task_id, 2));
    assert_eq!(next.checkpoint, Some(json!({"draws": 1})));
    let list = json_of(&app, "/v1/messages").await;
    let items = list["items"].as_array().unwrap();
    let tracked: BTreeSet<_> =
        items.iter().map(|message| message["message"].as_str().unwrap()).collect();
    assert_eq!(tracked, ["good", "\u{0}'\"\\ 𝄞"].into());
}

async fn a_task_reported_twice_in_a_batch_ends_once(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let one = processing(&mut app, "one").await;
    let other = processing(&mut app, "other").await;
    let outcomes = app
        .report_all(vec![
            report(&one, Event::Heartbeat { progress: None }),
            report(&one, validated("Direct", 7, 1)),
            report(&other, validated("Direct", 7, 1)),
            report(&one, validated("Direct", 7, 1)),
            report(&one, Event::Heartbeat { progress: None }),
        ])
        .await;
    let expected = [
        Outcome::Continue,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::LeaseLost,
    ];
    assert_eq!(outcomes, expected);
    let list = json_of(&app, "/v1/messages").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}
