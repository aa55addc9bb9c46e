//! Data uploads: loading rows, and reading back loaded and rejected ones.

use common::report::{MAX_BATCH_BYTES, MAX_ROW_TEXT, Outcome, RejectedRow, RowBatch};
use common::task::spec::{OnBadRow, TaskSpec};
use common::task::{TaskId, TaskState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{TestApp, eventually, failed, problem};
use super::backend::{Backend, backend_tests};
use super::loads::{
    FULL, PEOPLE, batch, checkpoint, completed, items, load, loaded, processing, row_numbers,
    rows_in_database, send, sent, upload,
};

backend_tests![
    rows_are_loaded_and_read_back_in_the_order_of_the_file,
    rows_between_rejected_ones_keep_their_numbers,
    text_of_any_kind_reads_back,
    rejected_rows_are_listed_and_are_a_csv_file,
    only_own_data_uploads_have_rows,
    invalid_batches_are_refused_and_load_nothing,
    a_strict_load_of_a_bad_file_loads_no_rows,
    deleting_a_task_deletes_its_rows,
    other_writes_succeed_while_rows_are_loaded,
];

async fn rows_are_loaded_and_read_back_in_the_order_of_the_file(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let accepted = upload(&app, "", PEOPLE).await;
    assert_eq!(accepted.task.state, TaskState::Queued);
    let id = accepted.task.task_id;
    let attempt = app.next_attempt().await;
    let TaskSpec::DataUpload(spec) = &attempt.spec else { panic!("{:?}", attempt.spec) };
    assert_eq!((spec.on_bad_row, attempt.checkpoint.clone()), (OnBadRow::Skip, None));

    load(&app, &attempt, 0, FULL + 231).await;
    let task = app.task(id).await;
    assert_eq!(task.state, TaskState::Processing);
    assert_eq!(task.result.unwrap()["rows_loaded"], FULL + 231, "so far");
    assert_eq!(app.report(&attempt, completed()).await, Outcome::Accepted);

    let task = app.task(id).await;
    assert_eq!((task.state, &task.links.download), (TaskState::Processed, &None));
    assert_eq!(
        task.result.unwrap(),
        json!({"rows_loaded": FULL + 231, "rows_rejected": 0, "resumed_from_row": null})
    );
    assert_eq!(task.links.rejected, None);
    assert_eq!(row_numbers(&app, id).await, (1..=FULL + 231).collect::<Vec<_>>());
    let path = format!("/v1/data_uploads/{id}/rows");
    let rows = items(&app, &path, 999).await;
    assert_eq!(rows.len() as u64, FULL + 231);
    assert_eq!(
        (&rows[4]["name"], &rows[4]["email"]),
        (&json!("Ada 5"), &json!("ada.5@example.org"))
    );
    let time =
        |name: &str| rows[4][name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>();
    assert!(time("created_at").unwrap() >= task.created_at);
    assert_eq!(time("updated_at"), time("created_at"));
    let page: Value = app.get(&path).await.json().await.unwrap();
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["next_page_token"]),
        (50, &json!("50"))
    );

    let download = app.get(&format!("/v1/data_processor/download/{id}")).await;
    assert_eq!(problem(download).await.1["code"], "no_result");
    let (status, body) = problem(app.get(&format!("{path}?page_token=x&color=red")).await).await;
    assert_eq!((status, &body["error_count"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(2)));
}

async fn rows_between_rejected_ones_keep_their_numbers(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let id = attempt.task_id;
    let mut batch = batch(&attempt, 0, 7);
    (batch.rows, batch.rejected) = (
        batch.rows.into_iter().filter(|(row, ..)| ![1, 4].contains(row)).collect(),
        [1, 4].map(reject).to_vec(),
    );
    (batch.checkpoint.loaded, batch.checkpoint.rejected) = (5, 2);
    sent(&app, id, &batch).await;
    assert_eq!(row_numbers(&app, id).await, [2, 3, 5, 6, 7]);
    let rows = items(&app, &format!("/v1/data_uploads/{id}/rows"), 10).await;
    assert!(rows.iter().all(|row| row["name"] == format!("Ada {}", row["row"])));
    let rejected = items(&app, &format!("/v1/data_uploads/{id}/rejected"), 10).await;
    assert_eq!(rejected, [json!(reject(1)), json!(reject(4))]);
}

async fn text_of_any_kind_reads_back(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let names = ["", "  padded  ", "größe 𝄞", "it's \"quoted\"; -- \\ %", "a\nb\r\n\t\0z", "NULL"];
    let longest = "𝄞".repeat(MAX_ROW_TEXT);
    let names: Vec<&str> = names.into_iter().chain([longest.as_str()]).collect();
    let count = names.len() as u64;
    let rows = (1..).zip(&names).map(|(row, name)| (row, (*name).to_owned(), (*name).to_owned()));
    let batch = RowBatch { rows: rows.collect(), ..batch(&attempt, 0, count) };
    sent(&app, attempt.task_id, &batch).await;
    let rows = items(&app, &format!("/v1/data_uploads/{}/rows", attempt.task_id), 100).await;
    let read: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(read, names);
    assert!(rows.iter().all(|row| row["email"] == row["name"]));
}

fn reject(row: u64) -> RejectedRow {
    RejectedRow {
        row,
        line: row + 1,
        column: (row % 2 == 1).then(|| "email".to_owned()),
        value: (row % 2 == 1).then(|| "a, \"b\"".to_owned()),
        reason: "is invalid".to_owned(),
    }
}

/// The rejected rows 1 to `count`, as the first batch of a file.
fn rejects(batch: RowBatch, count: u64) -> RowBatch {
    let mut batch =
        RowBatch { rows: Vec::new(), rejected: (1..=count).map(reject).collect(), ..batch };
    (batch.checkpoint.loaded, batch.checkpoint.rejected) = (0, count);
    batch
}

async fn rejected_rows_are_listed_and_are_a_csv_file(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let id = attempt.task_id;
    let path = format!("/v1/data_uploads/{id}/rejected");
    assert!(items(&app, &path, 10).await.is_empty());
    sent(&app, id, &rejects(batch(&attempt, 0, 1_500), 1_500)).await;
    app.report(&attempt, completed()).await;
    let task = app.task(id).await;
    assert_eq!(task.links.rejected.as_deref(), Some(path.as_str()));
    assert_eq!(task.result.unwrap()["rows_rejected"], 1_500);

    let rows = items(&app, &path, 700).await;
    let expected: Vec<_> = (1..=1_500).map(|row| json!(reject(row))).collect();
    assert_eq!(rows, expected);
    let asked = app.request(Method::GET, &path).header("accept", "text/csv").send().await.unwrap();
    assert_eq!(asked.headers()["content-type"], "text/csv; charset=utf-8");
    let text = asked.text().await.unwrap();
    assert!(text.starts_with(
        "row,line,column,value,reason\n1,2,email,\"a, \"\"b\"\"\",is invalid\n2,3,,,is invalid\n"
    ));
    assert_eq!(text.lines().count(), 1_501);
    let neither =
        app.request(Method::GET, &path).header("accept", "image/png").send().await.unwrap();
    assert_eq!(problem(neither).await.0, StatusCode::NOT_ACCEPTABLE);
}

async fn only_own_data_uploads_have_rows(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let other_kind = app.processing_task().await;
    let attempt = loaded(&mut app, 3).await;
    let answer = send(&app, other_kind.task_id, &batch(&other_kind, 0, 1)).await;
    assert_eq!(problem(answer).await.0, StatusCode::NOT_FOUND);
    let gone = sent(&app, TaskId::new(), &batch(&attempt, 0, 1)).await;
    assert_eq!((gone.outcome, gone.checkpoint), (Outcome::LeaseLost, None));
    app.sql(
        "UPDATE tasks SET owner = X'00000000000000000000000000000001' WHERE kind = 'data_upload'",
    );
    for id in [other_kind.task_id, attempt.task_id, TaskId::new()] {
        for part in ["rows", "rejected"] {
            let (status, body) =
                problem(app.get(&format!("/v1/data_uploads/{id}/{part}")).await).await;
            assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("task_not_found")));
        }
    }
}

async fn invalid_batches_are_refused_and_load_nothing(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let id = attempt.task_id;
    let good = || batch(&attempt, 0, 10);
    let refused = async |batch: RowBatch, status: u16, code: &str| {
        let (given, body) = problem(send(&app, id, &batch).await).await;
        assert_eq!((given.as_u16(), &body["code"]), (status, &json!(code)), "{body}");
        body
    };
    refused(batch(&attempt, 0, FULL + 1), 413, "batch_too_large").await;
    let mut large = good();
    large.rows[0].1 = "x".repeat(MAX_BATCH_BYTES);
    refused(large, 413, "batch_too_large").await;

    let changes: [fn(&mut RowBatch); 9] = [
        |batch| batch.rows.swap(0, 1),
        |batch| batch.rows[1].0 = 1,
        |batch| batch.rows[0].0 = 0,
        |batch| batch.rows[9].0 = 11,
        |batch| batch.rows[9].0 = u64::MAX,
        |batch| batch.rows[0].2 = "é".repeat(MAX_ROW_TEXT + 1),
        |batch| batch.checkpoint.loaded = 9,
        |batch| batch.checkpoint.row = u64::MAX,
        |batch| batch.from = checkpoint(20),
    ];
    for change in changes {
        let mut batch = good();
        change(&mut batch);
        let body = refused(batch, 422, "invalid_parameters").await;
        assert!(body["error_count"].as_u64().unwrap() >= 1, "{body}");
    }
    let path = format!("/internal/v1/tasks/{id}/rows");
    for body in ["", "{}", "[1]", "{\"attempt\": -1}"] {
        let response = app.internal_request(&path).body(body).send().await.unwrap();
        assert_eq!(problem(response).await.0, StatusCode::BAD_REQUEST);
    }
    let stranger = app.request(Method::POST, &path).json(&good()).send().await.unwrap();
    assert_eq!(problem(stranger).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(rows_in_database(&app), 0);

    load(&app, &attempt, 0, 10).await;
    let mut fork = batch(&attempt, 10, 20);
    fork.from.as_mut().unwrap().line += 1;
    let body = refused(fork, 422, "invalid_parameters").await;
    assert_eq!(body["errors"][0]["field"], "from");
    assert_eq!(rows_in_database(&app), 10);
}

async fn a_strict_load_of_a_bad_file_loads_no_rows(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = upload(&app, "&on_bad_row=fail", PEOPLE).await.task.task_id;
    let attempt = app.next_attempt().await;
    let answer = send(&app, id, &rejects(batch(&attempt, 0, 2), 2)).await;
    assert_eq!(problem(answer).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    app.report(&attempt, failed()).await;
    let task = app.task(id).await;
    assert_eq!((task.state, task.result, task.links.rejected), (TaskState::Failed, None, None));
    assert_eq!(rows_in_database(&app), 0);
}

async fn deleting_a_task_deletes_its_rows(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let kept = loaded(&mut app, 5).await;
    let attempt = loaded(&mut app, 3 * FULL).await;
    app.report(&attempt, completed()).await;
    let id = attempt.task_id;
    let path = format!("/v1/tasks/{id}");
    let deleted = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let rows = app.get(&format!("/v1/data_uploads/{id}/rows")).await;
    assert_eq!(rows.status(), StatusCode::NOT_FOUND, "hidden immediately");
    eventually("its rows are gone", || async { (rows_in_database(&app) == 5).then_some(()) }).await;
    assert_eq!(row_numbers(&app, kept.task_id).await.len(), 5);
}

/// Tests fairness, not speed: no request waits for the end of the load, even on a slow machine.
async fn other_writes_succeed_while_rows_are_loaded(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = processing(&mut app).await;
    let writes = async {
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            let id = upload(&app, "&on_bad_row=fail", PEOPLE).await.task.task_id;
            assert_eq!(app.interrupt(id, "kill").await.0, StatusCode::OK);
            times.push(begun.elapsed());
        }
        times.sort();
        times
    };
    let rows = async {
        let mut row = 0;
        loop {
            load(&app, &attempt, row, row + FULL).await;
            row += FULL;
        }
    };
    let times = tokio::select! {
        times = writes => times,
        () = rows => unreachable!("the load never ends"),
    };
    assert!(times[10] < std::time::Duration::from_secs(1), "{times:?}");
    assert!(!row_numbers(&app, attempt.task_id).await.is_empty());
}
