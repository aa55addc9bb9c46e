//! Uploads by one request: the form, waiting, the result, and servers that refuse or close
//! connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::fake_api::{ID, accepted, answer, problem, problem_document, processed, serve, taskctl};

/// The received fields in their order, and the announced length of the request.
#[derive(Debug, Default)]
struct Arrived {
    fields: Vec<(String, Option<String>, Vec<u8>)>,
    content_length: Option<u64>,
}

/// An API that accepts an upload with `reply`, processes it immediately, and returns `result`.
fn accepting(reply: Value, result: &'static [u8]) -> (Router, Arc<Mutex<Arrived>>) {
    let arrived = Arc::new(Mutex::new(Arrived::default()));
    let seen = Arc::clone(&arrived);
    let upload = async move |headers: HeaderMap, mut form: Multipart| {
        let length = headers.get("content-length").and_then(|length| length.to_str().ok());
        let mut now = Arrived {
            content_length: length.and_then(|length| length.parse().ok()),
            fields: vec![],
        };
        while let Some(field) = form.next_field().await.unwrap() {
            let name = field.name().unwrap().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            now.fields.push((name, file_name, field.bytes().await.unwrap().to_vec()));
        }
        *seen.lock().unwrap() = now;
        answer(202, &reply)
    };
    let router = Router::new()
        .route("/v1/data_processor/upload", post(upload).layer(DefaultBodyLimit::disable()))
        .route("/v1/tasks/{id}", get(|| async { answer(200, &processed()) }))
        .route("/v1/data_processor/download/{id}", get(async move || result));
    (router, arrived)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn parameters_precede_the_file_and_the_result_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.path().join("größe \"1\".csv"), &content).unwrap();
    let (router, arrived) = accepting(accepted(), b"Song,Date,Total\na,2026-01-01,3\n");
    let server = serve(router).await;

    let args = ["upload", "größe \"1\".csv", "--param", "group_by=City", "--group-by", "Täg=x"];
    let args = [&args[..], &["--on-bad-row", "skip", "--output", "out.csv"]].concat();
    let run = taskctl(&server, folder.path(), &args).await;

    assert_eq!(run.code, 0, "{run:?}");
    let arrived = arrived.lock().unwrap();
    let names_and_values: Vec<_> = arrived.fields[..3]
        .iter()
        .map(|(name, _, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
        .collect();
    assert_eq!(
        names_and_values,
        [("group_by", "City"), ("group_by", "Täg=x"), ("on_bad_row", "skip")]
    );
    let (name, file_name, sent) = &arrived.fields[3];
    assert_eq!(arrived.fields.len(), 4);
    assert_eq!(name, "file");
    assert!(file_name.as_deref().unwrap().starts_with("größe "), "{file_name:?}");
    assert!(*sent == content, "the file arrived changed");
    assert!(arrived.content_length.unwrap() > content.len() as u64);

    assert_eq!(
        std::fs::read(folder.path().join("out.csv")).unwrap(),
        b"Song,Date,Total\na,2026-01-01,3\n"
    );
    assert_eq!(names(folder.path()), ["größe \"1\".csv", "out.csv"], "nothing else is left");
    let text = run.text();
    for words in [
        "Aggregated 784,891 of 784,903 rows into 554,142 groups in 1.2 s; 12 rejected.",
        "Saved 31 B to out.csv.",
        "12 rows were rejected; fetch them with",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!text.contains("Fetch the result"), "it is here already: {text}");
}

#[tokio::test]
async fn json_output_is_one_document() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "").unwrap();
    let (router, arrived) = accepting(accepted(), b"result");
    let server = serve(router).await;

    let run = taskctl(&server, folder.path(), &["--json", "upload", "plays.csv"]).await;
    assert_eq!((run.code, run.json()), (0, accepted()));
    assert_eq!(arrived.lock().unwrap().fields[0].2, b"", "an empty file is a file");

    let run = taskctl(&server, folder.path(), &["--json", "upload", "plays.csv", "--wait"]).await;
    let mut expected = processed();
    expected["resumed"] = json!(false);
    expected["resumed_from_row"] = Value::Null;
    assert_eq!((run.code, run.json()), (0, expected));
}

#[tokio::test]
async fn several_files_are_uploaded_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one.csv", "two.csv"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let server = serve(accepting(accepted(), b"result").0).await;
    let files = ["upload", "csv_aggregation", "one.csv", "two.csv"];
    let run = taskctl(&server, folder.path(), &files).await;
    assert_eq!((run.code, run.text().matches("Accepted as task").count()), (0, 2), "{run:?}");
    let run = taskctl(&server, folder.path(), &[&files[..], &["--json"]].concat()).await;
    let expected = json!({"items": [accepted(), accepted()], "errors": []});
    assert_eq!((run.code, run.json()), (0, expected));
    std::fs::create_dir(folder.path().join("results")).unwrap();
    let args = ["upload", "one.csv", "--output", "results"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(names(&folder.path().join("results")).len(), 1);
}

#[tokio::test]
async fn the_result_can_be_piped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "x").unwrap();
    let server = serve(accepting(accepted(), b"only\nthis\n").0).await;
    let run = taskctl(&server, folder.path(), &["upload", "plays.csv", "--output", "-"]).await;
    assert_eq!((run.code, run.text().as_str()), (0, "only\nthis\n"));
    assert!(run.stderr.contains("Aggregated 784,891 of 784,903 rows"), "{}", run.stderr);
}

#[tokio::test]
async fn a_resumed_earlier_task_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "x").unwrap();
    let mut reply = accepted();
    reply["resumed"] = json!(true);
    reply["resumed_from_row"] = json!(120_000);
    let server = serve(accepting(reply, b"").0).await;
    let run = taskctl(&server, folder.path(), &["upload", "plays.csv"]).await;
    assert_eq!(run.code, 0);
    let expected =
        format!("The same file was uploaded before: task {ID} is resumed at row 120,000.");
    assert!(run.text().starts_with(&expected), "{}", run.text());
}

/// The largest file that is sent by one request.
fn file(folder: &Path) {
    std::fs::File::create(folder.join("plays.csv")).unwrap().set_len(512 << 10).unwrap();
}

#[tokio::test]
async fn an_early_refusal_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path());
    let refuse = || async { problem(413, "too_large", "At most 1 MiB.") };
    let server = serve(Router::new().route("/v1/data_processor/upload", post(refuse))).await;
    // The first try may meet the end of the connection before the answer; the second one waits for
    // it.
    for _ in 0..5 {
        let run = taskctl(&server, folder.path(), &["upload", "plays.csv"]).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("Refused: At most 1 MiB."), "{}", run.stderr);
    }
    let run = taskctl(&server, folder.path(), &["--json", "upload", "plays.csv"]).await;
    assert_eq!((run.code, run.json()["code"].as_str()), (1, Some("too_large")));
}

/// Reads the head of a request and some of its body.
fn read_beginning(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while seen.len() < 16 * 1024 {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the request ended early");
        seen.extend_from_slice(&buffer[..read]);
    }
    seen
}

/// The value of the header `name` in the head of a request.
fn header(request: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
    assert!(line.is_some(), "no {name} in {text:.500}");
    line.unwrap_or_default().to_owned()
}

/// Writes an answer, and keeps the connection open until the client has read it and disconnected.
fn write_answer(stream: &mut TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn the_reason_for_a_closed_connection_is_reported_on_retry() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let playing = thread::spawn(move || {
        // Closing with unread bytes resets the connection: the client sees a broken pipe.
        let (mut first, _) = listener.accept().unwrap();
        let key = header(&read_beginning(&mut first), "idempotency-key:");
        drop(first);

        let (mut second, _) = listener.accept().unwrap();
        let seen = read_beginning(&mut second);
        let body = problem_document(422, "unknown_parameter", "`colour` is unknown.");
        write_answer(&mut second, 422, &body);
        (key, seen)
    });

    let args = ["upload", "plays.csv", "--param", "colour=red"];
    let run = taskctl(&server, folder.path(), &args).await;

    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("Refused: `colour` is unknown."), "{}", run.stderr);
    assert!(run.stderr.contains("; reconnecting."), "{}", run.stderr);
    let (key, asked) = playing.join().unwrap();
    assert_eq!(header(&asked, "idempotency-key:"), key, "the server creates one task at most");
    let asked = String::from_utf8_lossy(&asked);
    assert!(asked.contains("name=\"colour\""), "the same was asked: {asked:.300}");
}

#[tokio::test]
async fn a_server_that_closes_silently_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            read_beginning(&mut stream.unwrap());
        }
    });
    let args = ["upload", "plays.csv", "--give-up-after", "1s"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{run:?}");
    // Depends on how much the system takes of it before the connection is closed.
    let fates = ["upload it again", "The whole file was sent, so it may have been accepted"];
    let expected = format!("The connection to {server} broke after");
    assert!(run.stderr.contains(&expected), "{}", run.stderr);
    assert!(fates.iter().any(|fate| run.stderr.contains(fate)), "{}", run.stderr);
    assert!(run.stderr.contains("reconnecting"), "{}", run.stderr);
}

/// An API that answers uploads with `answers`, one after the other, and the keys that it received.
fn answering(answers: Vec<(u16, Value)>) -> (Router, Arc<Mutex<Vec<String>>>) {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&keys);
    let upload = async move |headers: HeaderMap, mut form: Multipart| {
        while let Some(field) = form.next_field().await.unwrap() {
            field.bytes().await.unwrap();
        }
        let mut seen = seen.lock().unwrap();
        seen.push(headers["idempotency-key"].to_str().unwrap().to_owned());
        let (status, body) = &answers[(seen.len() - 1).min(answers.len() - 1)];
        answer(*status, body)
    };
    (Router::new().route("/v1/data_processor/upload", post(upload)), keys)
}

fn outcome_unknown() -> Value {
    problem_document(503, "outcome_unknown", "It may have been carried out.")
}

#[tokio::test]
async fn an_upload_with_unknown_outcome_is_retried_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "x").unwrap();
    let under_way = problem_document(409, "request_under_way", "It is not done yet.");
    let answers = vec![
        (503, outcome_unknown()),
        (409, under_way),
        (503, outcome_unknown()),
        (202, accepted()),
    ];
    let (router, keys) = answering(answers);
    let server = serve(router).await;
    let run = taskctl(&server, folder.path(), &["upload", "plays.csv"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.text().contains(&format!("Accepted as task {ID}.")), "{run:?}");
    for words in ["It may have been carried out; reconnecting.", "It is not done yet; reconnecting"]
    {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let first = keys.lock().unwrap().clone();
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|key| *key == first[0]), "{first:?}");
    let run = taskctl(&server, folder.path(), &["upload", "plays.csv"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_ne!(keys.lock().unwrap()[4], first[0], "another upload has another key");
}

#[tokio::test]
async fn an_upload_is_tried_again_until_its_time_and_refusals_are_final() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "x").unwrap();
    let (router, keys) = answering(vec![(503, outcome_unknown())]);
    let args = ["upload", "plays.csv", "--give-up-after", "2s"];
    let run = taskctl(&serve(router).await, folder.path(), &args).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(keys.lock().unwrap().len() >= 3, "{run:?}");
    assert!(run.stderr.ends_with("It may have been carried out.\n"), "{}", run.stderr);

    let refusal = problem_document(422, "not_csv", "It is no CSV.");
    let (router, keys) = answering(vec![(422, refusal)]);
    let run = taskctl(&serve(router).await, folder.path(), &["upload", "plays.csv"]).await;
    assert_eq!((run.code, keys.lock().unwrap().len()), (1, 1), "{run:?}");
}

#[tokio::test]
async fn a_lost_answer_is_not_reported_as_a_lost_upload() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plays.csv"), "x".repeat(100_000)).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let playing = thread::spawn(move || {
        // Takes the whole file, and ends before the answer.
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = read_beginning(&mut stream);
        while !seen.ends_with(b"--\r\n") {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request ended early");
            seen.extend_from_slice(&buffer[..read]);
        }
    });
    let args = ["upload", "plays.csv", "--give-up-after", "1s"];
    let run = taskctl(&server, folder.path(), &args).await;
    playing.join().unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("so it may have been accepted"), "{}", run.stderr);
}
