//! Files that arrive as several parallel uploads.

use common::task::TaskState;
use reqwest::StatusCode;

use super::app::{SONGS, TestApp, problem};
use super::backend::{Backend, backend_tests};
use super::tus::{header, id_of, random_bytes};

backend_tests![
    parts_become_one_file_in_the_given_order,
    a_repeated_concatenation_creates_one_task,
    unusable_parts_are_refused,
    a_file_of_the_wrong_type_is_refused,
    a_final_upload_takes_no_bytes,
];

async fn parts_become_one_file_in_the_given_order(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let content = random_bytes(1_000_000);
    let third = app.partial(&content[700_000..]).await;
    let empty = app.partial(b"").await;
    let first = app.partial(&content[..300_000]).await;
    let second = app.partial(&content[300_000..700_000]).await;
    assert_eq!(header(&app.head(&first).await, "upload-concat"), "partial");
    assert!(app.list("").await.items.is_empty(), "parts have no task");

    let second_url = format!("https://files.example.org{second}");
    let parts = [first.as_str(), &second_url, &empty, &third];
    let response = app.concatenate(&parts, &[("filename", "a.b")]).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let path = header(&response, "location").to_owned();
    assert_eq!(header(&response, "task-id"), id_of(&path).to_string());
    assert_eq!(app.task(id_of(&path)).await.file_name.as_deref(), Some("a.b"));
    app.assert_queued_with(id_of(&path), &content).await;
    let head = app.head(&path).await;
    let expected = format!("final;{first} {second} {empty} {third}");
    assert_eq!(header(&head, "upload-concat"), expected);
    assert_eq!(
        (header(&head, "upload-offset"), header(&head, "upload-length")),
        ("1000000", "1000000")
    );
}

async fn a_repeated_concatenation_creates_one_task(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let (first, second) = (app.partial(b"12").await, app.partial(b"34").await);
    // The parts cannot be joined.
    let folder = app.folder.path().join("local_storage/uploads");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let response = app.concatenate(&[&first, &second], &[]).await;
    let path = header(&response, "location").to_owned();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&app.head(&path).await, "upload-offset"), "", "it is not complete");
    assert_eq!(app.state(id_of(&path)).await, TaskState::Initializing);
    let again = app.concatenate(&[&first, &second], &[]).await;
    assert_eq!((again.status(), header(&again, "location")), (StatusCode::CREATED, path.as_str()));
    let other = app.concatenate(&[&second, &first], &[]).await;
    assert_eq!(problem(other).await.1["code"], "invalid_part");
    assert_eq!(app.list("").await.items.len(), 1);
    std::fs::remove_file(&folder).unwrap();
    app.assert_queued_with(id_of(&path), b"1234").await;
}

async fn unusable_parts_are_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let part = app.partial(b"12").await;
    let whole = app.create_upload(4, &[]).await;
    let begun = app.tus(reqwest::Method::POST, "/v1/uploads").header("Upload-Concat", "partial");
    let begun = begun.header("Upload-Length", 10).send().await.unwrap();
    let begun = header(&begun, "location");
    let unknown = format!("/v1/uploads/{}", common::task::TaskId::new());
    for other in [whole.as_str(), begun, &unknown] {
        let (status, body) = problem(app.concatenate(&[&part, other], &[]).await).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &"invalid_part".into()));
        assert!(body["detail"].as_str().unwrap().contains(&id_of(other).to_string()), "{body}");
    }
    let mallory = app.log_in_as("mallory").await;
    let request = app.request_as(&mallory, reqwest::Method::POST, "/v1/uploads");
    let request = request.header("Tus-Resumable", "1.0.0");
    let foreign = request.header("Upload-Concat", format!("final;{part}")).send().await.unwrap();
    assert_eq!(problem(foreign).await.1["code"], "invalid_part");
    assert_eq!(app.concatenate(&[&part], &[]).await.status(), StatusCode::CREATED);
}

async fn a_file_of_the_wrong_type_is_refused(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (png, rest) = (app.partial(b"\x89PN").await, app.partial(b"G\r\n\x1a\n\0\0\0\rIHDR").await);
    let kind = [("kind", "csv_aggregation")];
    let (status, body) = problem(app.concatenate(&[&png, &rest], &kind).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"not_csv".into()));
    let wrong = [("kind", "csv_aggregation"), ("on_bad_row", "x")];
    assert_eq!(
        problem(app.concatenate(&[&png], &wrong).await).await.1["code"],
        "invalid_parameters"
    );
    assert!(app.list("").await.items.is_empty());
}

async fn a_final_upload_takes_no_bytes(backend: Backend) {
    let app = TestApp::start(backend).await;
    let part = app.partial(SONGS.as_bytes()).await;
    let response = app.concatenate(&[&part], &[("kind", "csv_aggregation")]).await;
    let path = header(&response, "location").to_owned();
    let patch = app.patch(&path, SONGS.len(), "more").send().await.unwrap();
    assert_eq!(problem(patch).await.0, StatusCode::FORBIDDEN);
}
