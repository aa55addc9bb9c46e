//! Waiting for a task: its end, server restarts, Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fake_api::{
    ID, answer, command, failed, finished, processed, send, serve, serve_on, task, taskctl, until,
};

/// A task that is `tasks[n]` at the n-th poll, and the last one from then on.
fn steps(tasks: Vec<Value>) -> (Router, Arc<AtomicUsize>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let look = async move || {
        let look = counted.fetch_add(1, Ordering::SeqCst);
        answer(200, &tasks[look.min(tasks.len() - 1)])
    };
    (Router::new().route("/v1/tasks/{id}", get(look)), looks)
}

#[tokio::test]
async fn without_a_terminal_each_change_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut queued = task("queued");
    queued["queue_position"] = json!(7);
    let mut half = task("processing");
    half["progress"] = json!({"done": 1024, "total": 2048, "unit": "bytes", "per_second": null});
    let (router, _) = steps(vec![queued.clone(), queued, half.clone(), half, processed()]);

    let run = taskctl(&serve(router).await, folder.path(), &["watch", ID]).await;

    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(
        lines,
        ["queued, position 7", "processing, 1.00 KiB of 2.00 KiB (50 %)", "processed"]
    );
    let text = run.text();
    assert!(
        text.starts_with(
            "Aggregated 784,891 of 784,903 rows into 554,142 groups in 1.2 s; 12 rejected.\n"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn waiting_for_a_failed_task_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    for (ended, words) in [
        (
            failed(),
            "Bad rows: 100 rows of the file are invalid.\n  line 5, column 3 (Number of Plays): `many` is not an integer\n",
        ),
        (failed(), "  … and 90 more"),
        (task("stopped"), "was stopped"),
        (task("killed"), "was killed"),
    ] {
        let (router, _) = steps(vec![task("processing"), ended.clone()]);
        let server = serve(router).await;
        let run = taskctl(&server, folder.path(), &["watch", ID]).await;
        assert_eq!((run.code, run.text().as_str()), (1, ""));
        assert!(run.stderr.contains(words), "{}", run.stderr);

        let run = taskctl(&server, folder.path(), &["--json", "watch", ID]).await;
        assert_eq!((run.code, run.json()), (1, ended));
    }
}

#[tokio::test]
async fn waiting_survives_a_server_restart() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (before, looks) = steps(vec![task("processing")]);
    // Every answer closes its connection, so that none of this server's stays open when it ends.
    let before = before.layer(axum::middleware::map_response(
        async |mut response: axum::response::Response| {
            response
                .headers_mut()
                .insert("connection", axum::http::HeaderValue::from_static("close"));
            response
        },
    ));
    let first = tokio::spawn(async move { axum::serve(listener, before).await });
    let server = format!("http://{address}");

    let mut child = command(&server, folder.path(), &["watch", ID]).spawn().unwrap();
    let stderr = follow(child.stderr.take().unwrap());
    until("a look at the task", || async { looks.load(Ordering::SeqCst) > 1 }).await;
    first.abort();
    until("that it notices", || async {
        stderr.lock().unwrap().contains("server not reachable, waiting…")
    })
    .await;
    let (after, _) = steps(vec![processed()]);
    serve_on(TcpListener::bind(address).await.unwrap(), after);

    let run = finished(child).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.text().starts_with("Aggregated 784,891 of 784,903 rows"), "{}", run.text());
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_says_that_the_task_continues() {
    let folder = tempfile::tempdir().unwrap();
    let (router, looks) = steps(vec![task("processing")]);
    let server = serve(router).await;
    let child = command(&server, folder.path(), &["watch", ID]).spawn().unwrap();
    until("a look at the task", || async { looks.load(Ordering::SeqCst) > 2 }).await;

    send("INT", &child);

    let run = finished(child).await;
    assert_eq!((run.code, run.text().as_str()), (130, ""));
    assert!(run.stderr.contains(&format!("Task {ID} continues on the server")), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("taskctl status {ID}")));
}

/// The output of a stream so far.
fn follow(stream: impl std::io::Read + Send + 'static) -> Arc<std::sync::Mutex<String>> {
    let said = Arc::new(std::sync::Mutex::new(String::new()));
    let writer = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stream)).map_while(Result::ok) {
            writer.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    said
}
