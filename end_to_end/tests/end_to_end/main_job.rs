//! The main job: a file of plays is aggregated.

use std::time::Duration;

use common::task::TaskState;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::api::{UPLOAD, accepted};
use super::plays::{SAMPLE, SAMPLE_SUMS};
use super::process::{Process, taskctl};
use super::standalone::Standalone;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_form_upload_is_watched_and_downloaded() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let form = Form::new().part("file", Part::text(SAMPLE).file_name("plays of 2020.csv"));
    let request = server.api.request(Method::POST, UPLOAD).multipart(form);
    let response = request.send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let id = accepted(response).await.task.task_id;
    assert_eq!(location, format!("/v1/tasks/{id}"));

    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
    let task = server.api.task(id).await;
    assert_eq!(task.state, TaskState::Processed);
    assert_eq!((task.attempt, task.failures), (1, 0));
    assert_eq!(task.file_name.as_deref(), Some("plays of 2020.csv"));
    assert_eq!(task.size, Some(SAMPLE.len() as u64));
    assert_eq!(task.error, None);
    let result = task.result.unwrap();
    assert_eq!(result["rows_read"], 7);
    assert_eq!(result["rows_rejected"], 0);
    assert_eq!(result["groups"], 4);
    assert_eq!(result["output_size"], SAMPLE_SUMS.len());
    assert!(task.created_at <= task.started_at.unwrap());
    assert!(task.started_at <= task.finished_at);
    let download = task.links.download.unwrap();
    assert_eq!(server.api.get(&download).await.text().await.unwrap(), SAMPLE_SUMS);
    assert_eq!(task.links.rejected, None);
}

#[tokio::test]
async fn the_body_may_be_the_file_itself() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let id = server.api.accept("", SAMPLE).await;
    assert_eq!(server.api.result(id).await, SAMPLE_SUMS);
    assert_eq!(server.api.task(id).await.file_name.as_deref(), Some("songs.csv"));
}

#[tokio::test]
async fn columns_can_be_chosen_and_the_sum_renamed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let parameters = "&group_by=City&sum=Visits&sum=Hours&total_header=Total";
    let file = "Hours,City,Visits\n1,Rome,2\n3,Oslo,4\n5,Rome,6\n";
    let id = server.api.accept(parameters, file).await;
    assert_eq!(server.api.result(id).await, "City,Visits,Total\nOslo,4,3\nRome,8,6\n");
}

#[tokio::test]
async fn files_of_a_german_spreadsheet_are_summed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let text = "sep=;\r\nSong;Date;Number of Plays\r\n\"Größe; live\";2020-01-02;3\r\n\
                \"Größe; live\";2020-01-02;4\r\n";
    let sums = "Song,Date,Number of Plays\nGröße; live,2020-01-02,7\n";
    // "Unicode text" and "CSV UTF-8" have a byte order mark.
    let marked = format!("\u{FEFF}{text}");
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (file, encoding) in [(marked.into_bytes(), "utf-8"), (utf16, "utf-16")] {
        let id = server.api.accept("", file).await;
        assert_eq!(server.api.result(id).await, sums);
        let result = server.api.task(id).await.result.unwrap();
        assert_eq!(result["dialect"], json!({"delimiter": ";", "encoding": encoding}));
    }
    // "CSV" has none: the error names the encoding, with which the task can be run again.
    let characters = text.chars().map(|character| u8::try_from(u32::from(character)).unwrap());
    let latin: Vec<u8> = characters.collect();
    let id = server.api.accept("", latin.clone()).await;
    let error = server.api.wait_for_end(id).await.error.unwrap();
    assert_eq!(error.suggested_parameters["encoding"], "windows-1252", "{error}");
    let id = server.api.accept("&encoding=windows-1252", latin).await;
    assert_eq!(server.api.result(id).await, sums);
}

#[tokio::test]
async fn an_interrupted_download_can_be_resumed() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let id = server.api.accept("", SAMPLE).await;
    server.api.result(id).await;
    let whole = server.api.download(id).await;
    let etag = whole.headers()["etag"].clone();
    assert!(!etag.to_str().unwrap().starts_with("W/"));
    let path = format!("/v1/data_processor/download/{id}");
    let rest = server.api.request(Method::GET, &path);
    let rest = rest.header("range", "bytes=10-").header("if-range", etag).send().await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.text().await.unwrap(), SAMPLE_SUMS[10..]);
}

#[tokio::test]
async fn the_command_line_uploads_waits_and_saves() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let (input, output) = (data.path().join("songs.csv"), data.path().join("sums.csv"));
    std::fs::write(&input, SAMPLE).unwrap();
    let mut command = taskctl();
    command.args(["--server", &server.api.url, "upload", "--wait"]);
    command.arg(&input).arg("--output").arg(&output);
    let status = Process::spawn(&mut command).exit(DEADLINE).await;
    assert!(status.success(), "{status}");
    assert_eq!(std::fs::read_to_string(output).unwrap(), SAMPLE_SUMS);
}

#[tokio::test]
async fn the_command_line_reports_a_failed_task() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let input = data.path().join("songs.csv");
    std::fs::write(&input, "Song,Date\n").unwrap();
    let mut command = taskctl();
    command.args(["--server", &server.api.url, "upload", "--wait"]).arg(&input);
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.exit(DEADLINE).await.code(), Some(1));
    let said = process.find(|line| line.contains("Number of Plays").then(|| line.to_owned()));
    assert!(said.is_some(), "it names the missing column");
}

#[tokio::test]
async fn a_file_can_be_processed_without_a_server() {
    let data = tempfile::tempdir().unwrap();
    let (input, output) = (data.path().join("songs.csv"), data.path().join("sums.csv"));
    std::fs::write(&input, SAMPLE).unwrap();
    let mut command = taskctl();
    command.args(["run", "csv_aggregation"]).arg(&input).arg("--output").arg(&output);
    let status = Process::spawn(&mut command).exit(DEADLINE).await;
    assert!(status.success(), "{status}");
    assert_eq!(std::fs::read_to_string(output).unwrap(), SAMPLE_SUMS);
}

#[tokio::test]
async fn a_data_folder_is_used_by_one_server() {
    let data = tempfile::tempdir().unwrap();
    let _server = Standalone::start(data.path()).await;
    let mut command = taskctl();
    command.args(["standalone", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let mut second = Process::spawn(&mut command);
    assert_eq!(second.exit(DEADLINE).await.code(), Some(1));
    let said = second.find(|line| line.contains("another server").then(|| line.to_owned()));
    assert!(said.is_some(), "it says why");
}

#[tokio::test]
async fn the_server_reports_its_health() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    assert_eq!(server.api.get("/healthz").await.status(), StatusCode::OK);
    let ready: serde_json::Value = server.api.get("/readyz").await.json().await.unwrap();
    assert_eq!(ready["ready"], json!(true));
    let workers = server.api.get("/v1/workers").await;
    assert_eq!(workers.status(), StatusCode::OK);
}
