//! A fake API server, the program under test, and the documents that they exchange.

use std::ffi::OsStr;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The task of every test.
pub(crate) const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Serves `router` on a free port until the test ends; returns the URL.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_on(listener, router)
}

/// Serves `router` on `listener`.
pub(crate) fn serve_on(listener: TcpListener, router: Router) -> String {
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The URL of a port without a listener.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The outcome of a run of the program.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard output, which must be one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

/// The command of the program in the folder `folder`, for `server`.
pub(crate) fn command<S: AsRef<OsStr>>(server: &str, folder: &Path, args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskctl"));
    command
        .args(args)
        .current_dir(folder)
        .env("TASKCTL_SERVER", server)
        .env_remove("TASKCTL_TOKEN")
        .env_remove("TASKCTL_CONTEXT")
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end, with `input` on its standard input.
pub(crate) async fn taskctl_with_input(
    server: &str,
    folder: &Path,
    args: &[&str],
    input: &str,
) -> Finished {
    let mut child = command(server, folder, args).stdin(Stdio::piped()).spawn().unwrap();
    // Dropping the pipe closes it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finished(child).await
}

/// Runs the program to its end.
pub(crate) async fn taskctl<S: AsRef<OsStr>>(server: &str, folder: &Path, args: &[S]) -> Finished {
    finished(command(server, folder, args).spawn().unwrap()).await
}

/// Waits for the end of a running program.
pub(crate) async fn finished(child: std::process::Child) -> Finished {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    Finished {
        code: output.status.code().unwrap(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends the signal of this name to a running program.
#[cfg(unix)]
pub(crate) fn send(signal: &str, child: &std::process::Child) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

/// Waits until `holds` returns true, for at most a minute.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A task as the API shows it.
pub(crate) fn task(state: &str) -> Value {
    json!({
        "task_id": ID, "kind": "csv_aggregation", "state": state, "attempt": 1, "failures": 0,
        "max_attempts": 5, "parameters": null, "worker": null, "heartbeat_at": null,
        "duration": null, "owner": null, "progress": null, "queue_position": null, "queue_position_over": null,
        "file_name": "plays.csv", "size": 2048, "created_at": "2026-03-01T10:00:00Z",
        "queued_at": "2026-03-01T10:00:01Z", "started_at": null, "finished_at": null,
        "error": null, "result": null, "timestamp": "2026-03-01T10:05:00Z",
        "links": {
            "self": format!("/v1/tasks/{ID}"), "download": null, "preview": null,
            "rejected": null, "report": null, "events": null, "stop": null, "kill": null,
            "resume": null, "run_again": null, "delete": null, "timeline": null
        }
    })
}

/// A processed task.
pub(crate) fn processed() -> Value {
    let mut task = task("processed");
    task["started_at"] = json!("2026-03-01T10:00:02Z");
    task["finished_at"] = json!("2026-03-01T10:00:03.200Z");
    task["result"] =
        json!({"rows_read": 784_903, "rows_rejected": 12, "groups": 554_142, "output_size": 9});
    task["links"]["download"] = json!(format!("/v1/data_processor/download/{ID}"));
    task
}

/// A task that failed because of its file.
pub(crate) fn failed() -> Value {
    let mut task = task("failed");
    let errors: Vec<_> = (0..100)
        .map(|row| {
            json!({"line": row + 5, "column": 3, "field": "Number of Plays",
                "reason": "`many` is not an integer"})
        })
        .collect();
    task["error"] = json!({
        "type": "/problems/bad_rows", "title": "Bad rows", "status": 422,
        "detail": "100 rows of the file are invalid.", "instance": null, "code": "bad_rows",
        "timestamp": "2026-03-01T10:00:03Z", "errors": errors, "error_count": 100
    });
    task
}

/// An accepted task.
pub(crate) fn accepted() -> Value {
    let mut task = task("queued");
    task["queue_position"] = json!(1);
    task["resumed"] = json!(false);
    task["resumed_from_row"] = Value::Null;
    task
}

/// The document of a problem.
pub(crate) fn problem_document(status: u16, code: &str, detail: &str) -> Value {
    json!({
        "type": format!("/problems/{code}"), "title": "Refused", "status": status,
        "detail": detail, "instance": null, "code": code, "timestamp": "2026-03-01T10:00:00Z",
        "errors": [], "error_count": 0
    })
}

/// A refusal.
pub(crate) fn problem(status: u16, code: &str, detail: &str) -> Response {
    let headers = [("content-type", "application/problem+json")];
    let status_code = StatusCode::from_u16(status).unwrap();
    (status_code, headers, problem_document(status, code, detail).to_string()).into_response()
}

/// An answer with JSON.
pub(crate) fn answer(status: u16, body: &Value) -> Response {
    let headers = [("content-type", "application/json")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}
