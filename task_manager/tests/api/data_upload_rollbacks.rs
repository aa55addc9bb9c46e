//! A stop leaves no rows, regardless of their number and of concurrent events.

use common::task::{TaskId, TaskState};
use reqwest::StatusCode;

use super::app::{TestApp, eventually, failed};
use super::backend::{Backend, backend_tests};
use super::loads::{
    FULL, PEOPLE, batch, checkpoint, loaded, processing, row_numbers, rows_in_database, send, sent,
    upload,
};

backend_tests![
    a_stop_removes_every_row_from_every_state,
    a_stop_during_batches_in_flight_leaves_no_row,
    a_long_rollback_shows_progress_and_resumes_after_a_restart,
    a_long_rollback_delays_no_other,
];

async fn a_stop_removes_every_row_from_every_state(backend: Backend) {
    for from in [TaskState::Queued, TaskState::Processing, TaskState::Killed, TaskState::Failed] {
        let mut app = TestApp::start(backend).await;
        let attempt = loaded(&mut app, FULL + 5).await;
        let id = attempt.task_id;
        match from {
            TaskState::Failed => drop(app.report(&attempt, failed()).await),
            TaskState::Killed => drop(app.interrupt(id, "kill").await),
            TaskState::Queued => {
                app.interrupt(id, "kill").await;
                app.interrupt(id, "resume").await;
            }
            _ => {}
        }
        assert_eq!(app.state(id).await, from);
        assert_eq!(app.interrupt(id, "stop").await.0, StatusCode::ACCEPTED, "{from}");
        assert!(row_numbers(&app, id).await.is_empty(), "{from}: hidden immediately");
        let task = app.wait_for_state(id, TaskState::Stopped).await;
        assert_eq!((task.result, task.progress, task.error), (None, None, None));
        assert_eq!(rows_in_database(&app), 0, "{from}");
        assert!(row_numbers(&app, id).await.is_empty());
        let again = upload(&app, "", PEOPLE).await;
        assert!(!again.resumed && again.resumed_from_row.is_none());
    }
}

async fn a_stop_during_batches_in_flight_leaves_no_row(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    for _ in 0..5 {
        let attempt = processing(&mut app).await;
        let id = attempt.task_id;
        let batches: Vec<_> =
            (0..8).map(|number| batch(&attempt, number * 500, (number + 1) * 500)).collect();
        let sending = futures_util::future::join_all(batches.iter().map(|it| send(&app, id, it)));
        let stopping = async {
            eventually("the first rows are loaded", || async {
                (!row_numbers(&app, id).await.is_empty()).then_some(())
            })
            .await;
            app.interrupt(id, "stop").await
        };
        tokio::join!(sending, stopping);
        app.wait_for_state(id, TaskState::Stopped).await;
        assert_eq!(rows_in_database(&app), 0);
    }
}

/// Adds thousands of rows to a task in `processing`, faster than a worker would.
fn fill(app: &TestApp, id: TaskId, thousands: u64) {
    let id = id.0.simple().to_string();
    let digits = "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 \
                  UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    for thousand in 0..thousands {
        app.sql(&format!(
            "INSERT INTO file_data SELECT X'{id}', {thousand} * 1000 + a.n * 100 + b.n * 10 + c.n + 1, \
             'Ada', 'ada@example.org', '2026-01-01 00:00:00', '2026-01-01 00:00:00' \
             FROM {digits} a, {digits} b, {digits} c"
        ));
    }
    let checkpoint = serde_json::to_string(&checkpoint(thousands * 1_000)).unwrap();
    app.sql(&format!("UPDATE tasks SET checkpoint = '{checkpoint}' WHERE id = X'{id}'"));
}

async fn a_long_rollback_shows_progress_and_resumes_after_a_restart(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let id = attempt.task_id;
    let total = 200_000;
    fill(&app, id, total / 1_000);
    let (_, stopping) = app.interrupt(id, "stop").await;
    assert_eq!(
        stopping["progress"],
        serde_json::json!({
            "done": 0, "total": total, "unit": "rows", "per_second": null, "rejected_rows": null
        })
    );
    let progress = eventually("rows are removed", || async {
        app.task(id).await.progress.filter(|progress| progress.done > 0)
    })
    .await;
    assert_eq!((progress.total, progress.unit.as_str()), (Some(total), "rows"));
    app.restart().await;
    let left = rows_in_database(&app) as u64;
    assert!(left > 0 && left <= total - progress.done, "{left} rows are left after {progress:?}");
    let late = sent(&app, id, &batch(&attempt, 0, 10)).await;
    assert_eq!(late.outcome, common::report::Outcome::Stop);
    app.wait_for_state(id, TaskState::Stopped).await;
    assert_eq!(rows_in_database(&app), 0);
}

async fn a_long_rollback_delays_no_other(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let long = processing(&mut app).await.task_id;
    fill(&app, long, 100);
    let short = loaded(&mut app, 10).await.task_id;
    app.interrupt(long, "stop").await;
    app.interrupt(short, "stop").await;
    app.wait_for_state(short, TaskState::Stopped).await;
    assert_eq!(app.state(long).await, TaskState::Stopping);
    app.wait_for_state(long, TaskState::Stopped).await;
    assert_eq!(rows_in_database(&app), 0);
}

#[tokio::test]
async fn several_task_managers_share_a_rollback() {
    let mut app = TestApp::start(Backend::Fleet).await;
    let others = [app.switch_to_another().await, app.switch_to_another().await];
    let id = processing(&mut app).await.task_id;
    fill(&app, id, 40);
    let kept = loaded(&mut app, 10).await.task_id;
    app.interrupt(id, "stop").await;
    let mut done = 0;
    while let Some(progress) = app.task(id).await.progress {
        assert!(progress.done >= done, "it never goes back: {progress:?} after {done}");
        done = progress.done;
    }
    app.wait_for_state(id, TaskState::Stopped).await;
    assert_eq!(row_numbers(&app, kept).await.len(), rows_in_database(&app));
    for other in others {
        other.stop().await.unwrap();
    }
}
