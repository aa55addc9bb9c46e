//! Interrupted uploads leave nothing behind.

use common::task::TaskState;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::api::{Api, UPLOAD, eventually};
use super::plays::SAMPLE;
use super::standalone::Standalone;

/// Sends the head of a request for `length` bytes, and only the bytes of `sent`.
async fn begin(
    api: &Api,
    target: &str,
    content_type: &str,
    length: usize,
    sent: &str,
) -> TcpStream {
    let address = api.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{sent}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn assert_cut_leaves_nothing(content_type: &str, sent: &str) {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let target = format!("{UPLOAD}?file_name=songs.csv");
    let stream = begin(&server.api, &target, content_type, 2 * sent.len(), sent).await;
    let task = eventually("the task exists", async || server.api.tasks().await.pop()).await;
    assert_eq!(task.state, TaskState::Initializing);
    drop(stream);
    eventually("the task is gone", async || server.api.tasks().await.is_empty().then_some(()))
        .await;
    server.wait_for_files(Vec::new()).await;
}

#[tokio::test]
async fn an_interrupted_body_leaves_neither_task_nor_file() {
    assert_cut_leaves_nothing("text/csv", SAMPLE).await;
}

#[tokio::test]
async fn an_interrupted_form_leaves_neither_task_nor_file() {
    let form = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"songs.csv\"\r\n\r\n\
         {}",
        SAMPLE.repeat(100)
    );
    let content_type = "multipart/form-data; boundary=edge";
    assert_cut_leaves_nothing(content_type, &form).await;
}

#[tokio::test]
async fn an_upload_during_a_crash_leaves_neither_task_nor_file() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Standalone::start(data.path()).await;
    let target = format!("{UPLOAD}?file_name=songs.csv");
    let sent = SAMPLE.repeat(20_000);
    let _stream = begin(&server.api, &target, "text/csv", 2 * sent.len(), &sent).await;
    eventually("bytes have arrived", async || {
        server.files().iter().any(|file| file.starts_with("raw_data/")).then_some(())
    })
    .await;
    server.crash().await;
    eventually("the task is gone", async || server.api.tasks().await.is_empty().then_some(()))
        .await;
    server.wait_for_files(Vec::new()).await;
}
