//! Counts of tasks, the causes of failures, and the throughput.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use common::report::Event;
use common::task::TaskState;
use serde_json::{Value, json};

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests};

backend_tests![
    counts_distinguish_what_is_asked,
    counts_follow_every_change,
    failures_are_grouped_by_their_code,
    every_minute_is_in_the_throughput,
    throughput_survives_a_restart,
    unknown_groups_and_windows_are_refused,
];

async fn json_of(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

async fn counts_distinguish_what_is_asked(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Failed).await;
    app.task_in(TaskState::Processed).await;
    app.task_in(TaskState::Processed).await;
    let by_state = json_of(&app, "/v1/tasks/counts").await;
    assert_eq!(
        by_state,
        json!({"total": 3, "counts": [
            {"state": "failed", "kind": null, "hour": null, "count": 1},
            {"state": "processed", "kind": null, "hour": null, "count": 2},
        ]})
    );
    let by_kind = json_of(&app, "/v1/tasks/counts?by=kind&state=processed").await;
    let kind = json!({"state": null, "kind": "csv_aggregation", "hour": null, "count": 2});
    assert_eq!(by_kind, json!({"total": 2, "counts": [kind]}));

    app.sql("UPDATE tasks SET created_at = '2026-01-31 12:59:59.999999' WHERE state = 'failed'");
    app.sql("UPDATE tasks SET created_at = '2026-01-31 13:00:00' WHERE state = 'processed'");
    let by_all = json_of(&app, "/v1/tasks/counts?by=hour,state,kind&from=2026-01-31").await;
    let count = |state, hour, count| json!({"state": state, "kind": "csv_aggregation", "hour": hour, "count": count});
    let hours =
        [count("failed", "2026-01-31T12:00:00Z", 1), count("processed", "2026-01-31T13:00:00Z", 2)];
    assert_eq!(by_all, json!({"total": 3, "counts": hours}));
}

async fn counts_follow_every_change(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let states = async |app: &TestApp| {
        let counts = json_of(app, "/v1/tasks/counts").await;
        let state =
            |count: &Value| (count["state"].as_str().unwrap().to_owned(), count["count"].clone());
        counts["counts"].as_array().unwrap().iter().map(state).collect::<Vec<_>>()
    };
    let attempt = app.processing_task().await;
    assert_eq!(states(&app).await, [("processing".to_owned(), json!(1))]);
    app.complete(&attempt, "Song\n").await;
    assert_eq!(states(&app).await, [("processed".to_owned(), json!(1))]);
    let path = format!("/v1/tasks/{}", attempt.task_id);
    app.request(reqwest::Method::DELETE, &path).send().await.unwrap();
    assert!(states(&app).await.is_empty(), "a deleted task is not counted");
}

async fn failures_are_grouped_by_their_code(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Failed).await;
    let newest = app.task_in(TaskState::Failed).await;
    let attempt = app.processing_task().await;
    let error = common::problem::Problem::new(422, "not_csv", "Not CSV", "It is a picture.");
    app.report(&attempt, Event::Failed { error }).await;
    app.task_in(TaskState::Processed).await;
    let failures = json_of(&app, "/v1/tasks/failures").await;
    let last = json_of(&app, &format!("/v1/tasks/{newest}")).await["finished_at"].clone();
    let other =
        json_of(&app, &format!("/v1/tasks/{}", attempt.task_id)).await["finished_at"].clone();
    let example = |id, detail| json!({"task_id": id, "file_name": "songs.csv", "detail": detail});
    assert_eq!(
        failures["items"],
        json!([
            {"code": "bad_rows", "title": "Invalid rows", "count": 2, "last_at": last,
                "example": example(newest, "One of them.")},
            {"code": "not_csv", "title": "Not CSV", "count": 1, "last_at": other,
                "example": example(attempt.task_id, "It is a picture.")},
        ])
    );
    for none in ["?kind=file_statistics", "?to=2020-01-01"] {
        assert_eq!(json_of(&app, &format!("/v1/tasks/failures{none}")).await["items"], json!([]));
    }
}

async fn every_minute_is_in_the_throughput(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let old = app.task_in(TaskState::Processed).await;
    app.task_in(TaskState::Stopped).await;
    app.task_in(TaskState::Queued).await;
    app.task_in(TaskState::Failed).await;
    app.task_in(TaskState::Processed).await;
    app.task_in(TaskState::Killed).await;
    let hex = old.0.simple();
    let two_hours = app.time(TimeDelta::hours(-2));
    app.sql(&format!("UPDATE tasks SET finished_at = {two_hours} WHERE id = X'{hex}'"));
    let ended: DateTime<Utc> = {
        let ended = json_of(&app, &format!("/v1/tasks/{old}")).await["finished_at"].clone();
        serde_json::from_value(ended).unwrap()
    };
    for (window, steps, sums) in [("", 60, (1, 1)), ("?window=day", 1_440, (2, 1))] {
        let throughput = json_of(&app, &format!("/v1/tasks/throughput{window}")).await;
        assert_eq!(throughput["step_seconds"], 60);
        let items = throughput["items"].as_array().unwrap();
        assert_eq!(items.len(), steps);
        let times: Vec<DateTime<Utc>> =
            items.iter().map(|item| serde_json::from_value(item["at"].clone()).unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(1)));
        assert_eq!(throughput["from"], items[0]["at"]);
        let sum = |name: &str| items.iter().map(|item| item[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("finished"), sum("failed")), sums, "{window}");
        if steps > 60 {
            let minute = ended.with_second(0).unwrap().with_nanosecond(0).unwrap();
            let place = times.iter().position(|time| *time == minute).unwrap();
            assert_eq!(items[place]["finished"], 1);
        }
    }
}

async fn throughput_survives_a_restart(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    app.task_in(TaskState::Processed).await;
    app.restart().await;
    let throughput = json_of(&app, "/v1/tasks/throughput").await;
    let finished = throughput["items"].as_array().unwrap().iter().map(|item| &item["finished"]);
    assert_eq!(finished.filter_map(Value::as_u64).sum::<u64>(), 1);
}

async fn unknown_groups_and_windows_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    for (path, field) in [
        ("/v1/tasks/counts?by=state,size", "by"),
        ("/v1/tasks/throughput?window=week", "window"),
        ("/v1/tasks/failures?state=failed", "state"),
    ] {
        let (status, body) = problem(app.get(path).await).await;
        assert_eq!((status.as_u16(), &body["errors"][0]["field"]), (422, &field.into()), "{path}");
    }
}
