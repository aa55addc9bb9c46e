//! Refusals have a reason and leave nothing behind.

use common::task::TaskId;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};

use super::api::{Api, UPLOAD, refused};
use super::plays::SAMPLE;
use super::standalone::Standalone;

const LIMIT: [(&str, &str); 1] = [("TASK_MANAGER_UPLOAD_LIMIT", "1MiB")];

fn file(content: impl Into<Vec<u8>>) -> Form {
    Form::new().part("file", Part::bytes(content.into()).file_name("songs.csv"))
}

async fn refused_form(api: &Api, form: Form) -> (u16, String) {
    let request = api.request(Method::POST, UPLOAD).multipart(form);
    let problem = refused(request.send().await.unwrap()).await;
    (problem.status, problem.code)
}

async fn assert_nothing_left(server: &Standalone) {
    assert!(server.api.tasks().await.is_empty());
    server.wait_for_files(Vec::new()).await;
    assert_eq!(server.api.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn files_that_cannot_be_processed_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start_with(data.path(), &LIMIT).await;
    let api = &server.api;
    let utf_32: Vec<u8> =
        "\u{FEFF}".chars().chain(SAMPLE.chars()).flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    zip.resize(4_000, 0x5A);
    for (content, status, code) in [
        (Vec::new(), 422, "empty_file"),
        (zip, 422, "not_csv"),
        (utf_32, 422, "not_csv"),
        (vec![b'x'; (1 << 20) + 1], 413, "too_large"),
        (vec![b'x'; 30 << 20], 413, "too_large"),
    ] {
        let what = format!("{code}, {} bytes", content.len());
        assert_eq!(refused_form(api, file(content.clone())).await, (status, code.into()), "{what}");
        let raw = refused(api.upload("", content).send().await.unwrap()).await;
        assert_eq!((raw.status, raw.code.as_str()), (status, code), "raw: {what}");
    }
    assert_nothing_left(&server).await;
}

#[tokio::test]
async fn requests_with_a_wrong_shape_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let api = &server.api;
    let form = "multipart/form-data; boundary=edge";
    let part =
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n";
    let unclosed = format!("{part}{SAMPLE}");
    for (query, content_type, body, status, code) in [
        ("", "application/json", "{}", 415, "unsupported_media_type"),
        ("", "image/png", SAMPLE, 415, "unsupported_media_type"),
        ("", "multipart/form-data", SAMPLE, 400, "bad_request"),
        ("", form, SAMPLE, 400, "bad_request"),
        ("", form, &unclosed, 400, "bad_request"),
        ("", form, "--edge--\r\n", 422, "invalid_parameters"),
        ("", "text/csv", SAMPLE, 422, "invalid_parameters"),
        ("?file_name=a.csv&colour=red", "text/csv", SAMPLE, 422, "invalid_parameters"),
        ("?file_name=a.csv&on_bad_row=ask", "text/csv", SAMPLE, 422, "invalid_parameters"),
        ("?file_name=a.csv&memory_limit=much", "text/csv", SAMPLE, 422, "invalid_parameters"),
        ("?file_name=a.csv&sum=Song&sum=Song", "text/csv", SAMPLE, 422, "invalid_parameters"),
    ] {
        let request = api.request(Method::POST, &format!("{UPLOAD}{query}"));
        let request = request.header("content-type", content_type).body(body.to_owned());
        let problem = refused(request.send().await.unwrap()).await;
        let what = format!("{content_type} {query}: {}", problem.detail);
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{what}");
        if status == 422 {
            assert!(problem.errors.iter().all(|error| error.field.is_some()), "{what}");
            assert!(problem.error_count > 0, "{what}");
        }
    }
    let late = file(SAMPLE).text("on_bad_row", "skip");
    assert_eq!(refused_form(api, late).await, (422, "invalid_parameters".into()));
    let unknown = Form::new().text("colour", "red").part("file", Part::text(SAMPLE));
    assert_eq!(refused_form(api, unknown).await, (422, "invalid_parameters".into()));
    assert_nothing_left(&server).await;
}

#[tokio::test]
async fn missing_resources_are_404() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let api = &server.api;
    let id = TaskId::new();
    for path in [
        format!("/v1/tasks/{id}"),
        format!("/v1/tasks/status/{id}"),
        "/v1/tasks/status/12345".to_owned(),
        format!("/v1/tasks/{id}/events"),
        format!("/v1/data_processor/download/{id}"),
        "/v1/data_processor/download/..%2F..%2Ftasks.sqlite".to_owned(),
        format!("/v1/data_processor/rejected/{id}"),
        "/v1/nothing".to_owned(),
        "/nothing/at/all".to_owned(),
    ] {
        assert_eq!(refused(api.get(&path).await).await.status, 404, "{path}");
    }
    for verb in ["stop", "kill", "resume"] {
        assert_eq!(refused(api.interrupt(id, verb).await).await.status, 404, "{verb}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/v1/tasks", "GET"),
        (Method::GET, UPLOAD, "POST"),
        (Method::POST, "/healthz", "GET"),
    ] {
        let response = api.request(method, path).send().await.unwrap();
        let allow = response.headers()["allow"].to_str().unwrap().to_owned();
        assert!(allow.contains(allowed), "{path}: {allow}");
        assert_eq!(refused(response).await.status, 405, "{path}");
    }
    for query in ["state=done", "kind=dance", "page_size=0", "from=yesterday", "colour=red"] {
        let problem = refused(api.get(&format!("/v1/tasks?{query}")).await).await;
        assert_eq!((problem.status, problem.error_count), (422, 1), "{query}");
    }
    assert_nothing_left(&server).await;
}

#[tokio::test]
async fn workers_need_their_token() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    for path in ["/internal/v1/claims", "/internal/v1/reports"] {
        let request = server.api.request(Method::POST, path).json(&serde_json::json!({}));
        assert_eq!(refused(request.send().await.unwrap()).await.status, 401, "{path}");
    }
    let guess = server.api.request(Method::GET, "/v1/tasks").bearer_auth("guess");
    assert_eq!(refused(guess.send().await.unwrap()).await.status, 401);
}
