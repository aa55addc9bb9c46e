//! Downloads of results: complete, in ranges and conditional.

use common::client::plain_http;
use common::report::{Event, Output};
use common::storage::{ObjectKey, OutputPart};
use common::task::TaskState;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::app::{TestApp, problem};
use super::backend::{Backend, backend_tests, bucket};

backend_tests![
    a_result_supports_ranges_and_conditional_requests,
    conditional_requests_follow_rfc_9110,
    tasks_without_a_result_say_why,
    rejected_rows_are_a_separate_file,
    a_deleted_result_is_410,
    downloads_are_redirected_to_the_bucket_if_that_is_set,
];

async fn a_result_supports_ranges_and_conditional_requests(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    let path = format!("/v1/data_processor/download/{}", attempt.task_id);
    let early = app.get(&path).await;
    assert_eq!(early.headers()["retry-after"], "1");
    assert_eq!(problem(early).await.1["code"], "not_ready");
    app.complete(&attempt, "0123456789").await;

    let whole = app.get(&path).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(whole.headers()["content-length"], "10");
    let disposition = whole.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"songs-aggregated.csv\""));
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.text().await.unwrap(), "0123456789");

    let ask = |header: &'static str, value: String| {
        app.request(Method::GET, &path).header(header, value).send()
    };
    let unchanged = ask("if-none-match", etag.clone()).await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    let part = ask("range", "bytes=2-4".to_owned()).await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(part.text().await.unwrap(), "234");
    let outside = ask("range", "bytes=10-".to_owned()).await.unwrap();
    assert_eq!(outside.headers()["content-range"], "bytes */10");
    assert_eq!(problem(outside).await.0, StatusCode::RANGE_NOT_SATISFIABLE);

    let ranged = |tag: String| {
        app.request(Method::GET, &path).header("range", "bytes=7-").header("if-range", tag).send()
    };
    assert_eq!(ranged(etag).await.unwrap().text().await.unwrap(), "789");
    assert_eq!(ranged("\"old\"".to_owned()).await.unwrap().text().await.unwrap(), "0123456789");

    let head = app.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"10".parse().unwrap())
    );
}

async fn tasks_without_a_result_say_why(backend: Backend) {
    for state in [TaskState::Failed, TaskState::Stopped, TaskState::Killed] {
        let mut app = TestApp::start(backend).await;
        let id = app.task_in(state).await;
        let (status, body) =
            problem(app.get(&format!("/v1/data_processor/download/{id}")).await).await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("no_result")), "{state}");
    }
}

async fn rejected_rows_are_a_separate_file(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    app.write_result(&attempt, "good\n").await;
    let (task_id, number) = (attempt.task_id, attempt.attempt);
    let key = ObjectKey::Output { task_id, attempt: number, part: OutputPart::Rejected };
    let mut writer = app.storage.create(key);
    writer.write("bad\n".into()).await.unwrap();
    writer.finish().await.unwrap();
    let output = Output {
        file_name: "songs-aggregated.csv".to_owned(),
        media_type: "text/csv; charset=utf-8".to_owned(),
        size: 5,
        has_rejected: true,
    };
    app.report(&attempt, Event::Completed { result: json!({}), output: Some(output) }).await;
    let link = app.task(task_id).await.links.rejected.unwrap();
    let response = app.get(&link).await;
    let disposition = response.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.contains("filename=\"songs-aggregated.rejected.csv\""), "{disposition}");
    assert_eq!(response.text().await.unwrap(), "bad\n");

    let without = app.task_in(TaskState::Processed).await;
    assert_eq!(app.task(without).await.links.rejected, None);
    let (status, body) =
        problem(app.get(&format!("/v1/data_processor/rejected/{without}")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("no_result")));
}

async fn a_deleted_result_is_410(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let id = app.task_in(TaskState::Processed).await;
    std::fs::remove_dir_all(app.folder.path().join("local_storage")).unwrap();
    let (status, body) = problem(app.get(&format!("/v1/data_processor/download/{id}")).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::GONE, &json!("expired")));
}

async fn downloads_are_redirected_to_the_bucket_if_that_is_set(backend: Backend) {
    let mut app = TestApp::start_with(backend, |config| config.storage = bucket()).await;
    let attempt = app.processing_task().await;
    app.complete(&attempt, "0123456789").await;
    let path = format!("/v1/data_processor/download/{}", attempt.task_id);
    let etag = app.get(&path).await.headers()["etag"].to_str().unwrap().to_owned();
    let http = plain_http().unwrap().redirect(Policy::none()).build().unwrap();
    let send = async |app: &TestApp, method, header: (&str, &str)| {
        let url = format!("http://{}{path}", app.address());
        let request = http.request(method, url).header(header.0, header.1);
        let request = app.token.iter().fold(request, RequestBuilder::bearer_auth);
        request.send().await.unwrap()
    };
    let range = ("range", "bytes=2-4");
    let streamed = send(&app, Method::GET, range).await;
    assert_eq!(streamed.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(streamed.text().await.unwrap(), "234");

    app.restart_with(|config| config.presigned_downloads = true).await;
    let redirected = send(&app, Method::GET, range).await;
    assert_eq!(redirected.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(redirected.headers()["cache-control"], "no-store");
    let location = redirected.headers()["location"].to_str().unwrap().to_owned();
    let part = http.get(location).header(range.0, range.1).send().await.unwrap();
    assert_eq!(part.headers()["content-type"], "text/csv; charset=utf-8");
    let disposition = part.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"songs-aggregated.csv\""));
    assert_eq!(part.text().await.unwrap(), "234");
    // What needs no bytes is answered here.
    assert_eq!(send(&app, Method::HEAD, range).await.headers()["content-length"], "10");
    let unchanged = send(&app, Method::GET, ("if-none-match", &etag)).await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
}

async fn conditional_requests_follow_rfc_9110(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let attempt = app.processing_task().await;
    app.complete(&attempt, "0123456789").await;
    let path = format!("/v1/data_processor/download/{}", attempt.task_id);
    let etag = app.get(&path).await.headers()["etag"].to_str().unwrap().to_owned();
    let weak = format!("W/{etag}");
    let list = format!("\"x\", {weak}");
    for (method, headers, status, body) in [
        (Method::GET, vec![("if-none-match", weak.as_str())], 304, ""),
        (Method::GET, vec![("if-none-match", &list)], 304, ""),
        (Method::HEAD, vec![("if-none-match", "*")], 304, ""),
        (Method::GET, vec![("if-none-match", "\"x\"")], 200, "0123456789"),
        (Method::GET, vec![("if-match", etag.as_str())], 200, "0123456789"),
        (Method::GET, vec![("if-match", "*")], 200, "0123456789"),
        (Method::GET, vec![("if-match", &weak)], 412, ""),
        (Method::HEAD, vec![("if-match", "\"x\"")], 412, ""),
        (Method::GET, vec![("range", "BYTES=2-4"), ("if-range", &etag)], 206, "234"),
        (Method::GET, vec![("range", "bytes=2-4"), ("if-range", &weak)], 200, "0123456789"),
        (Method::HEAD, vec![("range", "bytes=2-4")], 200, ""),
        (Method::HEAD, vec![("range", "bytes=99-")], 200, ""),
    ] {
        let mut request = app.request(method.clone(), &path);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {headers:?}");
        if status == 304 {
            assert_eq!(response.headers()["etag"], etag.as_str());
        }
        if method == Method::HEAD && status == 200 {
            assert_eq!(response.headers()["content-length"], "10");
        }
        if status == 412 && method == Method::GET {
            assert_eq!(problem(response).await.1["code"], "precondition_failed");
        } else {
            assert_eq!(response.text().await.unwrap(), body, "{method} {headers:?}");
        }
    }
}
