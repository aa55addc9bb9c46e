//! Resumable uploads: what is sent, what is tried again, and what is remembered.

use std::path::Path;

use axum::http::Method;

use crate::fake_api::{command, finished, serve, taskctl, until};
use crate::fake_uploads::{Plan, Uploads};

/// Larger than what is sent by one request.
fn large() -> Vec<u8> {
    (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn folder_with_file() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large.csv"), large()).unwrap();
    folder
}

const UPLOAD: [&str; 2] = ["upload", "large.csv"];
const ONCE: [&str; 4] = ["upload", "large.csv", "--give-up-after", "0s"];

/// The records of unfinished uploads.
fn records(folder: &Path) -> Vec<String> {
    let folder = folder.join("state/taskctl/uploads");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).collect()
}

#[tokio::test]
async fn a_large_file_is_sent_by_a_resumable_upload() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    let args = [&UPLOAD[..], &["--param", "group_by=City", "--param", "group_by=Täg=x"]].concat();
    let run = taskctl(&server, folder.path(), &args).await;

    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.text().starts_with("Accepted as task 01890a5d-"), "{}", run.text());
    assert!(uploads.only() == large(), "not byte-equal");
    let known = uploads.known();
    let upload = known.uploads.values().next().unwrap();
    assert_eq!(upload.query, "group_by=City&group_by=T%C3%A4g%3Dx");
    assert_eq!(upload.headers["upload-length"], large().len().to_string());
    // `large.csv` and `csv_aggregation`.
    let metadata = "filename bGFyZ2UuY3N2,kind Y3N2X2FnZ3JlZ2F0aW9u";
    assert_eq!(upload.headers["upload-metadata"], metadata);
    assert!(upload.headers.contains_key("idempotency-key"));
    // The beginning is sent first, so that a file of the wrong type is refused early.
    assert_eq!(known.requests, ["POST", "HEAD", "PATCH", "PATCH", "GET"]);
    assert!(records(folder.path()).is_empty(), "it is complete");
}

#[tokio::test]
async fn an_upload_continues_after_failures_that_pass() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::POST, Plan::Refuse(503));
    uploads.plan(Method::PATCH, Plan::Refuse(423));
    uploads.plan(Method::PATCH, Plan::CutAfter(30_000));
    uploads.plan(Method::HEAD, Plan::Refuse(503));
    uploads.plan(Method::GET, Plan::Refuse(503));
    uploads.plan(Method::PATCH, Plan::Refuse(409));
    uploads.plan(Method::PATCH, Plan::CutAfter(2_000_000));
    uploads.plan(Method::PATCH, Plan::Refuse(500));
    let run = taskctl(&server, folder.path(), &UPLOAD).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(uploads.only() == large(), "not byte-equal");
    assert!(run.stderr.contains("reconnecting"), "{}", run.stderr);
    let known = uploads.known();
    let keys: Vec<_> = known.uploads.values().map(|it| &it.headers["idempotency-key"]).collect();
    assert_eq!(keys.len(), 1, "one upload is created");
}

#[tokio::test]
async fn a_refused_upload_is_not_sent_and_not_remembered() {
    let folder = folder_with_file();
    for (method, expected) in
        [(Method::POST, &["POST"][..]), (Method::PATCH, &["POST", "HEAD", "PATCH", "DELETE"])]
    {
        let uploads = Uploads::default();
        let server = serve(uploads.router()).await;
        uploads.plan(method, Plan::Refuse(422));
        let run = taskctl(&server, folder.path(), &UPLOAD).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("Refused: It is planned."), "{}", run.stderr);
        assert_eq!(uploads.known().requests, expected);
        assert!(records(folder.path()).is_empty());
    }
    let uploads = Uploads::default();
    uploads.plan(Method::POST, Plan::Refuse(422));
    let server = serve(uploads.router()).await;
    let run = taskctl(&server, folder.path(), &["--json", "upload", "large.csv"]).await;
    assert_eq!((run.code, run.json()["code"].as_str()), (1, Some("planned")));
}

#[tokio::test]
async fn a_later_command_continues_an_upload_that_was_given_up() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::CutAfter(10_000));
    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 3, "{run:?}");
    let expected = "The same command continues it";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert_eq!(records(folder.path()).len(), 1);

    // The token has expired in the meantime.
    uploads.plan(Method::HEAD, Plan::Refuse(401));
    uploads.plan(Method::GET, Plan::Refuse(401));
    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert_eq!(records(folder.path()).len(), 1);

    uploads.known().requests.clear();
    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("from 9.77 KiB"), "{}", run.stderr);
    assert_eq!(uploads.known().requests, ["HEAD", "PATCH", "GET"]);
    assert!(uploads.only() == large(), "not byte-equal");
    assert!(records(folder.path()).is_empty());
}

#[tokio::test]
async fn an_upload_is_given_up_after_the_time_without_progress() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    for _ in 0..100 {
        uploads.plan(Method::PATCH, Plan::Refuse(503));
    }
    let args = [&UPLOAD[..], &["--give-up-after", "2s"]].concat();
    let started = std::time::Instant::now();
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(started.elapsed().as_secs() >= 2);
    assert!(run.stderr.contains("attempt 3"), "{}", run.stderr);
    assert!(run.stderr.contains("Refused: It is planned."), "{}", run.stderr);
    assert!(run.stderr.contains("The same command continues it"), "{}", run.stderr);
}

#[tokio::test]
async fn an_upload_that_the_server_no_longer_has_is_begun_anew() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::CutAfter(10_000));
    assert_eq!(taskctl(&server, folder.path(), &ONCE).await.code, 3);
    uploads.known().uploads.clear();
    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("no longer has the interrupted upload"), "{}", run.stderr);
    assert!(uploads.only() == large(), "not byte-equal");

    // But one that disappears while it is sent was stopped.
    uploads.known().uploads.clear();
    uploads.plan(Method::PATCH, Plan::Refuse(404));
    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("Refused: It is planned."), "{}", run.stderr);
    assert!(records(folder.path()).is_empty());
}

#[tokio::test]
async fn a_changed_file_is_uploaded_anew() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::CutAfter(10_000));
    assert_eq!(taskctl(&server, folder.path(), &ONCE).await.code, 3);
    let mut changed = large();
    changed[0] = b'!';
    std::fs::write(folder.path().join("large.csv"), &changed).unwrap();

    let run = taskctl(&server, folder.path(), &ONCE).await;
    assert_eq!(run.code, 0, "{run:?}");
    let expected = "large.csv has changed since its upload was interrupted";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert!(uploads.only() == changed, "the old one is removed, and the new one complete");
}

#[tokio::test]
async fn uploads_for_other_purposes_are_separate() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::CutAfter(10_000));
    assert_eq!(taskctl(&server, folder.path(), &ONCE).await.code, 3);
    for other in [&["--kind", "file_statistics"][..], &["--param", "sum=x"]] {
        let run = taskctl(&server, folder.path(), &[&ONCE[..], other].concat()).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stderr.contains("from"), "{}", run.stderr);
    }
    assert_eq!(uploads.known().uploads.len(), 3);
    assert_eq!(records(folder.path()).len(), 1);
}

#[tokio::test]
async fn two_commands_do_not_continue_the_same_upload() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::Wait);
    let first = command(&server, folder.path(), &UPLOAD).spawn().unwrap();
    until("the first one sends", async || uploads.known().requests.contains(&"PATCH".to_owned()))
        .await;

    let second = taskctl(&server, folder.path(), &UPLOAD).await;
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stderr.contains("This is a separate upload"), "{}", second.stderr);
    uploads.proceed();
    let first = finished(first).await;
    assert_eq!(first.code, 0, "{first:?}");
    let known = uploads.known();
    assert_eq!(known.uploads.len(), 2);
    assert!(known.uploads.values().all(|upload| upload.bytes == large()));
}

#[tokio::test]
async fn parts_are_uploaded_in_parallel_and_joined() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::CutAfter(20_000));
    let args = [&ONCE[..], &["--parallel", "3"]].concat();
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{run:?}");

    // The parts that were begun are continued, whatever is requested now.
    let run = taskctl(&server, folder.path(), &UPLOAD).await;
    assert_eq!(run.code, 0, "{run:?}");
    let known = uploads.known();
    let all: Vec<_> = known.uploads.values().collect();
    assert_eq!(all.len(), 4, "{:?}", known.requests);
    for part in &all[..3] {
        assert_eq!(part.headers["upload-concat"], "partial");
        assert_eq!(part.bytes.len(), 2_000_000);
        // So that it is checked before bytes are sent.
        assert!(part.headers.contains_key("upload-metadata"));
    }
    let whole = all[3];
    let list = whole.headers["upload-concat"].to_str().unwrap();
    assert!(list.starts_with("final;/v1/uploads/01890a5d-"), "{list}");
    assert!(whole.bytes == large(), "not byte-equal");
    let keys: std::collections::BTreeSet<_> =
        all.iter().map(|it| it.headers["idempotency-key"].to_str().unwrap()).collect();
    assert_eq!(keys.len(), 4);
    assert!(run.text().contains("000000000003"), "{}", run.text());
    drop(known);
    assert!(records(folder.path()).is_empty());
}

#[tokio::test]
async fn without_a_state_folder_a_file_is_uploaded_with_a_warning() {
    let folder = folder_with_file();
    std::fs::write(folder.path().join("state"), "a file").unwrap();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    let run = taskctl(&server, folder.path(), &UPLOAD).await;
    assert_eq!(run.code, 0, "{run:?}");
    let expected = "The upload cannot be continued if it is interrupted: ";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert!(uploads.only() == large(), "not byte-equal");
}

#[tokio::test]
async fn a_file_that_becomes_shorter_is_reported() {
    let folder = folder_with_file();
    let uploads = Uploads::default();
    let server = serve(uploads.router()).await;
    uploads.plan(Method::PATCH, Plan::Wait);
    let child = command(&server, folder.path(), &UPLOAD).spawn().unwrap();
    until("it sends", async || uploads.known().requests.contains(&"PATCH".to_owned())).await;
    let file = std::fs::File::options().write(true).open(folder.path().join("large.csv")).unwrap();
    file.set_len(1_000_000).unwrap();
    uploads.proceed();
    let run = finished(child).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("Cannot upload large.csv: it became shorter"), "{}", run.stderr);
}
