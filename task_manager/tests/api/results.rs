//! Results as JSON: rows and series.

use common::task::{TaskId, TaskState};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests, bucket};

backend_tests![
    rows_and_series_of_a_result_are_json,
    results_in_a_bucket_are_read_alike,
    invalid_parameters_are_named,
    tasks_without_a_table_say_why,
    a_result_without_dates_is_no_series,
];

const RESULT: &str = "Song,Date,Number of Plays\n\
    \"Hello, Goodbye\",2020-01-01,7\nHello,2020-01-01,30\nHello,2020-01-02,4\nUmbrella,2020-01-02,200\n";

fn preview_of(id: TaskId) -> String {
    format!("/v1/data_processor/preview/{id}")
}

fn series_of(id: TaskId) -> String {
    format!("/v1/data_processor/series/{id}")
}

async fn json_of(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

async fn refused(app: &TestApp, path: &str) -> (u16, Value) {
    let (status, body) = problem(app.get(path).await).await;
    (status.as_u16(), body)
}

/// An aggregation with this result.
async fn processed(app: &mut TestApp, result: &'static str) -> TaskId {
    let attempt = app.processing_task().await;
    app.complete(&attempt, result).await;
    attempt.task_id
}

async fn assert_readable(app: &mut TestApp) {
    let id = processed(app, RESULT).await;
    let preview = app.task(id).await.links.preview.unwrap();
    let all = json_of(app, &preview).await;
    assert_eq!(all["columns"], json!(["Song", "Date", "Number of Plays"]));
    assert_eq!(all["rows"][0], json!(["Hello, Goodbye", "2020-01-01", "7"]));
    assert_eq!((all["rows"].as_array().unwrap().len(), &all["more"]), (4, &json!(false)));
    let largest = json_of(app, &format!("{preview}?sort=-Number+of+Plays&limit=2")).await;
    let rows = json!([["Umbrella", "2020-01-02", "200"], ["Hello", "2020-01-01", "30"]]);
    assert_eq!((&largest["rows"], &largest["more"]), (&rows, &json!(true)));

    let series = json_of(app, &format!("{}?top=2", series_of(id))).await;
    let expected = json!({
        "group_column": "Song",
        "time_column": "Date",
        "value_column": "Number of Plays",
        "step": "day",
        "groups": [
            {"name": "Umbrella", "total": 200, "points": [["2020-01-02", 200]]},
            {"name": "Hello", "total": 34, "points": [["2020-01-01", 30], ["2020-01-02", 4]]},
        ],
        "rest": 7,
    });
    assert_eq!(series, expected);
}

async fn rows_and_series_of_a_result_are_json(backend: Backend) {
    assert_readable(&mut TestApp::start(backend).await).await;
}

async fn results_in_a_bucket_are_read_alike(backend: Backend) {
    assert_readable(&mut TestApp::start_with(backend, |config| config.storage = bucket()).await)
        .await;
}

async fn invalid_parameters_are_named(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = processed(&mut app, RESULT).await;
    for (path, field) in [
        (format!("{}?sort=Number+of+Plays", preview_of(id)), "sort"),
        (format!("{}?sort=-Song", preview_of(id)), "sort"),
        (format!("{}?limit=1001", preview_of(id)), "limit"),
        (format!("{}?top=0", series_of(id)), "top"),
        (format!("{}?sort=-Song", series_of(id)), "sort"),
    ] {
        let (status, body) = refused(&app, &path).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!(field)), "{path}");
    }
}

async fn tasks_without_a_table_say_why(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let running = app.processing_task().await.task_id;
    assert_eq!(app.task(running).await.links.preview, None);
    for (state, code) in [(TaskState::Failed, "no_result"), (TaskState::Killed, "no_result")] {
        let id = app.task_in(state).await;
        for path in [preview_of(id), series_of(id)] {
            let (status, body) = refused(&app, &path).await;
            assert_eq!((status, &body["code"]), (409, &json!(code)), "{path}");
        }
    }
    let (status, body) = refused(&app, &preview_of(running)).await;
    assert_eq!((status, &body["code"]), (409, &json!("not_ready")));
    let id = processed(&mut app, SONGS).await;
    std::fs::remove_dir_all(app.folder.path().join("local_storage")).unwrap();
    for path in [preview_of(id), series_of(id)] {
        let (status, body) = refused(&app, &path).await;
        assert_eq!((status, &body["code"]), (410, &json!("expired")), "{path}");
    }
}

async fn a_result_without_dates_is_no_series(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let task = app.upload_with("&group_by=City&sum=Visits", "City,Visits\nBonn,1\n").await.task;
    let attempt = app.next_attempt().await;
    app.complete(&attempt, "City,Visits\nBonn,1\n").await;
    let (status, body) = refused(&app, &series_of(task.task_id)).await;
    assert_eq!((status, &body["code"]), (409, &json!("no_series")));
    assert!(body["detail"].as_str().unwrap().contains("`City`"), "{body}");
}
