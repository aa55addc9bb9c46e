//! Claims and reports: one owner per attempt, and nothing applied without the fence.

use common::report::{Claim, ClaimedDelivery, Event, Outcome, Report};
use common::task::{Progress, TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::app::{SONGS, TestApp, completed, failed, heartbeat, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    a_claim_is_granted_once_and_repeatable_by_its_worker,
    a_completion_ends_the_task_and_is_repeatable,
    progress_is_shown,
    a_failure_shows_its_problem,
    a_report_after_an_interrupt_is_refused_and_its_output_removed,
    a_drained_task_is_requeued_without_a_failure,
    an_error_counts_as_a_failure_and_a_delay_does_not,
    too_many_errors_fail_the_task_and_a_resume_resets_the_count,
    an_invalid_report_affects_no_other,
    workers_are_listed_and_need_their_token,
];

async fn a_claim_is_granted_once_and_repeatable_by_its_worker(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.upload(SONGS).await;
    let delivery = app.delivery().await;
    let first = app.claim_one(delivery).await;
    assert_eq!((first.attempt, first.lease, first.exclusive), (1, 30, false));
    let again = app.claim_one(delivery).await;
    assert_eq!(again, first, "a repeated claim does not raise the attempt");
    app.other_worker();
    let claims = app
        .claim(vec![
            delivery,
            ClaimedDelivery { dispatch: delivery.dispatch + 1, ..delivery },
            ClaimedDelivery { task_id: TaskId::new(), dispatch: 1 },
        ])
        .await;
    assert!(claims.iter().all(|claim| matches!(claim, Claim::Refused { .. })), "{claims:?}");
    assert_eq!(app.task(first.task_id).await.attempt, 1);
}

async fn a_completion_ends_the_task_and_is_repeatable(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processing);
    assert_eq!(app.complete(&attempt, "Song\n").await, Outcome::Accepted);
    let task = app.task(attempt.task_id).await;
    assert_eq!(task.state, TaskState::Processed);
    assert_eq!(task.result.unwrap()["groups"], 1);
    assert!(task.finished_at.is_some() && task.links.download.is_some());
    assert_eq!(app.report(&attempt, completed(5)).await, Outcome::Accepted);
    assert_eq!(
        app.report(&attempt, failed()).await,
        Outcome::LeaseLost,
        "another final report is refused"
    );
    assert_eq!(app.state(attempt.task_id).await, TaskState::Processed);
}

async fn progress_is_shown(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let (unit, per_second, rejected_rows) = ("bytes".to_owned(), Some(2.5), Some(3));
    let progress = Progress { done: 5, total: Some(10), unit, per_second, rejected_rows };
    let event = Event::Heartbeat { progress: Some(progress.clone()) };
    assert_eq!(app.report(&attempt, event).await, Outcome::Continue);
    assert_eq!(app.task(attempt.task_id).await.progress, Some(progress));
}

async fn a_failure_shows_its_problem(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    assert_eq!(app.report(&attempt, failed()).await, Outcome::Accepted);
    let task = app.task(attempt.task_id).await;
    assert_eq!((task.state, task.failures), (TaskState::Failed, 0));
    let error = task.error.unwrap();
    assert_eq!(error.code, "bad_rows");
    assert_eq!(error.instance, Some(task.links.this));
}

async fn a_report_after_an_interrupt_is_refused_and_its_output_removed(backend: Backend) {
    for (verb, expected, ended) in
        [("stop", Outcome::Stop, TaskState::Stopped), ("kill", Outcome::Kill, TaskState::Killed)]
    {
        let mut app = TestApp::start(backend).await;
        let attempt = app.processing_task().await;
        app.interrupt(attempt.task_id, verb).await;
        // A rollback in progress would remove the folder of the late output.
        app.wait_for_state(attempt.task_id, ended).await;
        assert_eq!(app.report(&attempt, heartbeat()).await, expected);
        assert_eq!(app.complete(&attempt, "late").await, expected);
        let path = format!("/v1/data_processor/download/{}", attempt.task_id);
        let (status, body) = problem(app.get(&path).await).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &"no_result".into()));
        app.wait_for_files(&[format!("raw_data/{}", attempt.task_id)]).await;
    }
}

async fn a_drained_task_is_requeued_without_a_failure(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let checkpoint = Some(json!({"row": 3}));
    let released = Event::Released { checkpoint: checkpoint.clone() };
    assert_eq!(app.report(&attempt, released.clone()).await, Outcome::Accepted);
    let next = app.next_attempt().await;
    assert_eq!((next.attempt, next.checkpoint, next.exclusive), (2, checkpoint, false));
    assert_eq!(app.task(next.task_id).await.failures, 0);
    assert_eq!(app.report(&attempt, released).await, Outcome::Accepted, "repeated");
    assert_eq!(app.report(&attempt, heartbeat()).await, Outcome::LeaseLost);
}

async fn an_error_counts_as_a_failure_and_a_delay_does_not(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let delay = |reason: Option<&str>| Event::Retry {
        after: Some(0.1),
        checkpoint: Some(json!(1)),
        reason: reason.map(str::to_owned),
        waits_for: None,
    };
    app.report(&attempt, delay(None)).await;
    let second = app.next_attempt().await;
    assert_eq!(second.checkpoint, Some(json!(1)));
    assert_eq!(app.task(second.task_id).await.failures, 0);
    app.report(&second, delay(Some("the disk is full"))).await;
    let third = app.next_attempt().await;
    assert_eq!(app.task(third.task_id).await.failures, 1);
    let wait = |what: &str| Event::Retry {
        after: Some(0.1),
        checkpoint: None,
        reason: None,
        waits_for: Some(what.to_owned()),
    };
    app.report(&third, wait("no space left")).await;
    let fourth = app.next_attempt().await;
    assert_eq!(app.task(fourth.task_id).await.failures, 1, "waiting is no failure");
    let noted = "UPDATE task_attempts SET reason = 'read' WHERE reason = 'no space left'";
    assert_eq!(app.sql(noted), 1);
}

async fn too_many_errors_fail_the_task_and_a_resume_resets_the_count(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let mut attempt = app.processing_task().await;
    for failures in 1..=5 {
        let reason = Some(format!("error {failures}"));
        app.report(
            &attempt,
            Event::Retry { after: Some(0.0), checkpoint: None, reason, waits_for: None },
        )
        .await;
        if failures < 5 {
            attempt = app.next_attempt().await;
        }
    }
    let task = app.task(attempt.task_id).await;
    assert_eq!((task.state, task.failures), (TaskState::Failed, 5));
    let error = task.error.unwrap();
    assert_eq!(error.code, "attempts_exhausted");
    assert!(error.detail.contains("error 5"), "{}", error.detail);

    let (status, body) = app.interrupt(attempt.task_id, "resume").await;
    assert_eq!(
        (status, &body["failures"], &body["error"]),
        (StatusCode::OK, &json!(0), &json!(null))
    );
    assert_eq!(app.next_attempt().await.attempt, 6);
}

async fn an_invalid_report_affects_no_other(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let good = app.processing_task().await;
    let bad = app.processing_task().await;
    let hex = bad.task_id.0.simple().to_string();
    assert_eq!(
        app.sql(&format!("UPDATE tasks SET spec = 'broken' WHERE hex(id) = upper('{hex}')")),
        1
    );
    let report = |attempt: &common::report::Attempt| Report {
        task_id: attempt.task_id,
        attempt: attempt.attempt,
        event: completed(0),
    };
    let outcomes = app.report_all(vec![report(&bad), report(&good)]).await;
    assert!(matches!(outcomes[0], Outcome::Rejected { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Accepted);
}

async fn workers_are_listed_and_need_their_token(backend: Backend) {
    let app = TestApp::start(backend).await;
    app.report_all(Vec::new()).await;
    let workers: serde_json::Value = app.get("/v1/workers").await.json().await.unwrap();
    let worker = &workers["items"][0];
    assert_eq!(worker["name"], "test");
    assert_eq!((&worker["online"], &worker["slots"]), (&json!(true), &json!(2)));

    for request in [
        app.request(Method::POST, "/internal/v1/reports").json(&json!({})),
        app.request(Method::POST, "/internal/v1/claims").bearer_auth("guess").json(&json!({})),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, body) = problem(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")));
    }
}
