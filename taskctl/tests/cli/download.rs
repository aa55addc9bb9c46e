//! Downloads: names, existing files, broken connections.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt, stream};

use crate::fake_api::{ID, command, finished, problem, send, serve, taskctl, until};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// An API with one result, with this disposition.
fn with_result(disposition: &'static str, content: &'static [u8]) -> Router {
    Router::new()
        .route(
            "/v1/data_processor/download/{id}",
            get(async move || ([("content-disposition", disposition)], content)),
        )
        .route("/v1/data_processor/rejected/{id}", get(async || "row,reason\n"))
}

#[tokio::test]
async fn the_servers_file_name_never_overwrites_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let router = with_result("attachment; filename=\"../plays totals.csv\"", b"new");
    let server = serve(router).await;
    let file = folder.path().join("plays totals.csv");

    let run = taskctl(&server, folder.path(), &["download", ID]).await;
    assert_eq!((run.code, run.text().as_str()), (0, "Saved 3 B to plays totals.csv.\n"));
    assert_eq!(std::fs::read(&file).unwrap(), b"new");

    std::fs::write(&file, "mine").unwrap();
    let run = taskctl(&server, folder.path(), &["download", ID]).await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("plays totals.csv exists already"), "{}", run.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");

    let run = taskctl(&server, folder.path(), &["--json", "download", ID, "--force"]).await;
    assert_eq!(run.code, 0);
    let saved = serde_json::json!({"task_id": ID, "output": "plays totals.csv", "size": 3});
    assert_eq!(run.json(), saved);
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["plays totals.csv"]);
}

#[tokio::test]
async fn output_is_a_file_or_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(with_result("attachment; filename=x.csv", b"a\x00b\n")).await;
    let run = taskctl(&server, folder.path(), &["download", ID, "--output", "-"]).await;
    assert_eq!((run.code, run.stdout.as_slice()), (0, b"a\x00b\n".as_slice()));

    std::fs::write(folder.path().join("mine.csv"), "old").unwrap();
    let args = ["download", ID, "--rejected", "--output", "mine.csv"];
    assert_eq!(taskctl(&server, folder.path(), &args).await.code, 0);
    assert_eq!(std::fs::read(folder.path().join("mine.csv")).unwrap(), b"row,reason\n");
}

#[cfg(unix)]
#[tokio::test]
async fn symlinks_are_followed_and_new_files_have_default_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let server = serve(with_result("attachment; filename=x.csv", b"new")).await;
    std::fs::write(folder.path().join("real.csv"), "old").unwrap();
    std::os::unix::fs::symlink("real.csv", folder.path().join("link.csv")).unwrap();

    let args = ["download", ID, "--output", "link.csv"];
    assert_eq!(taskctl(&server, folder.path(), &args).await.code, 0);

    assert!(folder.path().join("link.csv").symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read(folder.path().join("real.csv")).unwrap(), b"new");
    let other = folder.path().join("other");
    std::fs::write(&other, "").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&folder.path().join("real.csv")), mode(&other));
}

#[tokio::test]
async fn a_refusal_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = || async { problem(409, "no_result", "The task was killed.") };
    let router = Router::new().route("/v1/data_processor/download/{id}", get(refuse));
    let server = serve(router).await;
    let run = taskctl(&server, folder.path(), &["download", ID, "--output", "x.csv"]).await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("Refused: The task was killed."), "{}", run.stderr);
    assert!(names(folder.path()).is_empty());
}

/// An answer: the whole content, its tag, and where the answer breaks.
type Answer = (Vec<u8>, &'static str, Option<usize>);
/// `Range` and `If-Range` of a request.
type Asked = (Option<String>, Option<String>);

/// A server whose connections break.
#[derive(Clone)]
struct Breaking {
    /// One for each request; the last one is repeated.
    answers: Arc<Vec<Answer>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Breaking {
    fn new(answers: Vec<Answer>) -> Self {
        Self { answers: Arc::new(answers), asked: Arc::default() }
    }

    fn router(&self) -> Router {
        let server = self.clone();
        let path = "/v1/data_processor/download/{id}";
        Router::new().route(path, get(async move |headers: HeaderMap| server.answer(&headers)))
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let (range, if_range) = (header("range"), header("if-range"));
        let mut asked = self.asked.lock().unwrap();
        asked.push((range.clone(), if_range.clone()));
        let (content, etag, breaks) = &self.answers[(asked.len() - 1).min(self.answers.len() - 1)];

        let from = range
            .filter(|_| if_range.as_deref() == Some(etag))
            .map(|range| range["bytes=".len()..].trim_end_matches('-').parse::<usize>().unwrap());
        let whole = content.len();
        let rest = content[from.unwrap_or(0)..].to_vec();
        let length = rest.len().to_string();
        let body = match breaks {
            None => Body::from(rest),
            Some(at) => {
                let some = rest[..*at].to_vec();
                let broken = Err(std::io::Error::other("cut"));
                Body::from_stream(stream::iter([Ok(some), broken]))
            }
        };
        let headers = [("content-length", length), ("etag", (*etag).to_owned())];
        match from {
            None => (headers, body).into_response(),
            Some(from) => {
                let range = format!("bytes {from}-{}/{whole}", whole - 1);
                let status = axum::http::StatusCode::PARTIAL_CONTENT;
                (status, headers, [("content-range", range)], body).into_response()
            }
        }
    }
}

fn content(seed: u8) -> Vec<u8> {
    (0..2_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

#[tokio::test]
async fn an_interrupted_download_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = Breaking::new(vec![
        (content(0), "\"one\"", Some(700_000)),
        (content(0), "\"one\"", Some(0)),
        (content(0), "\"one\"", Some(1_000_000)),
        (content(0), "\"one\"", None),
    ]);
    let server = serve(breaking.router()).await;

    let run = taskctl(&server, folder.path(), &["download", ID, "--output", "x.csv"]).await;

    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(0), "not byte-equal");
    let asked = breaking.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[0], (None, None));
    for (range, if_range) in &asked[1..] {
        assert!(range.as_deref().unwrap().starts_with("bytes="));
        assert_eq!(if_range.as_deref(), Some("\"one\""));
    }
    // The client may have read less than was sent before a break, but never more.
    let from = |at: usize| -> usize {
        asked[at].0.as_deref().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap()
    };
    assert!(from(1) <= 700_000 && from(2) == from(1) && from(3) > from(2), "{asked:?}");
}

#[tokio::test]
async fn a_changed_result_is_downloaded_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = Breaking::new(vec![
        (content(0), "\"one\"", Some(1_500_000)),
        (content(9), "\"two\"", None),
    ]);
    let server = serve(breaking.router()).await;
    let run = taskctl(&server, folder.path(), &["download", ID, "--output", "x.csv"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(9), "not byte-equal");
}

#[tokio::test]
async fn a_download_to_a_pipe_resumes_but_cannot_restart() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["download", ID, "--output", "-"];
    let steady =
        Breaking::new(vec![(content(0), "\"one\"", Some(700_000)), (content(0), "\"one\"", None)]);
    let run = taskctl(&serve(steady.router()).await, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout == content(0), "not byte-equal");

    let changing =
        Breaking::new(vec![(content(0), "\"one\"", Some(700_000)), (content(9), "\"two\"", None)]);
    let run = taskctl(&serve(changing.router()).await, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("Fetch it to a file"), "{}", run.stderr);
}

#[tokio::test]
async fn a_download_that_keeps_failing_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    // A weak tag guarantees nothing, so every attempt starts over and breaks at the same position.
    let breaking = Breaking::new(vec![(content(0), "W/\"weak\"", Some(500_000))]);
    let server = serve(breaking.router()).await;
    let args = ["download", ID, "--output", "x.csv", "--give-up-after", "2s"];
    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("The connection broke after"), "{}", run.stderr);
    assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    let asked = breaking.asked.lock().unwrap();
    assert!(asked.iter().all(|(range, _)| range.is_none()), "{asked:?}");
}

/// An answer that breaks after this many bytes, and then the whole one.
fn breaking_once(at: usize) -> Breaking {
    Breaking::new(vec![(content(0), "\"one\"", Some(at)), (content(0), "\"one\"", None)])
}

/// The name and size of the one part in `folder`.
fn part(folder: &Path) -> Option<(String, u64)> {
    let name = names(folder).into_iter().find(|name| name.ends_with(".part"))?;
    let size = folder.join(&name).metadata().unwrap().len();
    Some((name, size))
}

#[tokio::test]
async fn a_later_download_continues_what_an_earlier_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = breaking_once(700_000);
    let server = serve(breaking.router()).await;
    let args = ["download", ID, "--output", "x.csv", "--give-up-after", "0s"];

    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("The same command continues it"), "{}", run.stderr);
    assert!(!folder.path().join("x.csv").exists());
    let (name, size) = part(folder.path()).unwrap();
    assert!(run.stderr.contains(&name) && name.starts_with("x.csv."), "{}", run.stderr);
    assert!(size > 0 && size <= 700_000, "{size}");

    let run = taskctl(&server, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(0), "not byte-equal");
    assert_eq!(names(folder.path()), ["x.csv"]);
    let asked = breaking.asked.lock().unwrap();
    let rest = (Some(format!("bytes={size}-")), Some("\"one\"".to_owned()));
    assert_eq!(*asked, [(None, None), (None, None), rest]);
}

#[tokio::test]
async fn a_left_part_of_another_result_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["download", ID, "--output", "x.csv", "--give-up-after", "0s"];
    let breaking = breaking_once(700_000);
    let run = taskctl(&serve(breaking.router()).await, folder.path(), &args).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(part(folder.path()).is_some());

    let other = Breaking::new(vec![(content(9), "\"two\"", None)]);
    let run = taskctl(&serve(other.router()).await, folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(9), "not byte-equal");
}

/// Downloads from a server that stops sending, and ends the program with `signal` when the part has
/// grown; returns its exit code.
#[cfg(unix)]
async fn end_a_download(folder: &Path, signal: &str) -> (Option<i32>, String) {
    let beginning = async || {
        let some = content(0)[..700_000].to_vec();
        let stalled = stream::once(async { Ok::<_, std::io::Error>(some) });
        let body = Body::from_stream(stalled.chain(stream::pending()));
        let headers = [("content-length", "2000000"), ("etag", "\"one\"")];
        (headers, body).into_response()
    };
    let path = "/v1/data_processor/download/{id}";
    let server = serve(Router::new().route(path, get(beginning))).await;
    let child = command(&server, folder, &["download", ID, "--output", "x.csv"]).spawn().unwrap();
    until("the part has grown", async || part(folder).is_some_and(|(_, size)| size > 0)).await;
    send(signal, &child);
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[cfg(unix)]
#[tokio::test]
async fn a_download_continues_after_the_program_was_ended() {
    for signal in ["INT", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let (code, stderr) = end_a_download(folder.path(), signal).await;
        if signal == "INT" {
            assert_eq!(code, Some(130));
            assert!(stderr.contains("The download was interrupted. The same command"), "{stderr}");
        }
        assert!(!folder.path().join("x.csv").exists());

        let whole = Breaking::new(vec![(content(0), "\"one\"", None)]);
        let server = serve(whole.router()).await;
        let args = ["download", ID, "--output", "x.csv"];
        let run = taskctl(&server, folder.path(), &args).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(0));
        assert_eq!(names(folder.path()), ["x.csv"]);
        assert!(whole.asked.lock().unwrap()[1].0.is_some(), "it continues");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let breaking = breaking_once(700_000);
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tokens);
    let bucket = async move |headers: HeaderMap| {
        seen.lock().unwrap().push(headers.contains_key("authorization"));
        breaking.answer(&headers)
    };
    let bucket = serve(Router::new().route("/bucket/result", get(bucket))).await;
    let url = format!("{bucket}/bucket/result?signature=x");
    let redirect = async move |headers: HeaderMap| {
        assert_eq!(headers["authorization"], "Bearer secret");
        (axum::http::StatusCode::TEMPORARY_REDIRECT, [("location", url.clone())])
    };
    let router = Router::new().route("/v1/data_processor/download/{id}", get(redirect));
    let server = serve(router).await;
    let mut command = command(&server, folder.path(), &["download", ID, "--output", "x.csv"]);
    let run = finished(command.env("TASKCTL_TOKEN", "secret").spawn().unwrap()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read(folder.path().join("x.csv")).unwrap() == content(0), "not byte-equal");
    assert_eq!(*tokens.lock().unwrap(), [false, false], "the cut download is redirected again");
}
