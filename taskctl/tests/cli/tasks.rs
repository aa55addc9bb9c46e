//! status, list, stop, kill, resume, run-again, delete.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::fake_api::{ID, accepted, answer, failed, problem, processed, serve, task, taskctl};

#[tokio::test]
async fn status_prints_text_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let router = Router::new().route("/v1/tasks/{id}", get(|| async { answer(200, &processed()) }));
    let server = serve(router).await;

    let run = taskctl(&server, folder.path(), &["status", ID]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let text = run.text();
    for line in [
        format!("Task      {ID}"),
        "State     processed".to_owned(),
        "Kind      csv_aggregation".to_owned(),
        "File      plays.csv (2.00 KiB)".to_owned(),
        "Created   2026-03-01 10:00:00 UTC (5m ago)".to_owned(),
        format!("Fetch the result with `taskctl --server {server} download {ID}`."),
        format!(
            "12 rows were rejected; fetch them with `taskctl --server {server} rejected {ID}`."
        ),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
    }

    let run = taskctl(&server, folder.path(), &["status", ID, "--json"]).await;
    assert_eq!((run.code, run.json()), (0, processed()));
}

#[tokio::test]
async fn the_status_of_a_failed_task_has_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let router = Router::new().route("/v1/tasks/{id}", get(|| async { answer(200, &failed()) }));
    let run = taskctl(&serve(router).await, folder.path(), &["status", ID]).await;
    assert_eq!(run.code, 0, "asking worked: {run:?}");
    let expected = "  line 5, column 3 (Number of Plays): `many` is not an integer";
    assert!(run.text().lines().any(|line| line == expected), "{}", run.text());
}

#[tokio::test]
async fn a_refusal_is_printed_as_text_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = || async { problem(404, "not_found", "There is no such task.") };
    let server = serve(Router::new().route("/v1/tasks/{id}", get(refuse).delete(refuse))).await;
    for verb in ["status", "delete", "watch"] {
        let run = taskctl(&server, folder.path(), &[verb, ID]).await;
        assert_eq!((run.code, run.text().as_str()), (1, ""), "{verb}");
        assert!(run.stderr.contains("Refused: There is no such task."), "{}", run.stderr);

        let run = taskctl(&server, folder.path(), &["--json", verb, ID]).await;
        assert_eq!(run.code, 1, "{verb}");
        assert_eq!(run.json()["code"], "not_found");
        assert_eq!(run.stderr, "", "{verb}");
    }
}

#[tokio::test]
async fn a_foreign_server_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(Router::new().fallback(|| async { "hello" })).await;
    let run = taskctl(&server, folder.path(), &["status", ID]).await;
    assert_eq!((run.code, run.text().as_str()), (1, ""));
    assert!(run.stderr.contains("Is it a task manager"), "{}", run.stderr);
}

type Queries = Arc<Mutex<Vec<BTreeMap<String, String>>>>;

/// A list of 130 tasks in pages of at most 60.
fn paged(queries: Queries) -> Router {
    let list = async move |Query(query): Query<BTreeMap<String, String>>| {
        let size: usize = query["page_size"].parse().unwrap();
        let from: usize = query.get("page_token").map_or(0, |token| token.parse().unwrap());
        let to = (from + size.min(60)).min(130);
        queries.lock().unwrap().push(query);
        let next = (to < 130).then(|| to.to_string());
        answer(200, &json!({"items": vec![task("queued"); to - from], "next_page_token": next}))
    };
    Router::new().route("/v1/tasks", get(list))
}

#[tokio::test]
async fn list_filters_and_pages_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let queries = Queries::default();
    let server = serve(paged(Arc::clone(&queries))).await;

    let args = ["list", "--limit", "100", "--state", "queued", "--kind", "csv_aggregation"];
    let run =
        taskctl(&server, folder.path(), &[&args[..], &["--text", "plays & co"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.text().lines().count(), 102, "header, tasks, and that there are more");
    let asked = queries.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    for query in &asked {
        assert_eq!(query["state"], "queued");
        assert_eq!(query["kind"], "csv_aggregation");
        assert_eq!(query["text"], "plays & co");
    }
    assert_eq!(asked[1]["page_token"], "60");
    assert_eq!(asked[1]["page_size"], "40");

    let run = taskctl(&server, folder.path(), &["--json", "list", "--limit", "1000"]).await;
    let list = run.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 130);
    assert_eq!(list["items"][0], task("queued"));
    assert!(list["next_page_token"].is_null());
}

#[tokio::test]
async fn an_empty_list_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let empty = || async { answer(200, &json!({"items": [], "next_page_token": null})) };
    let server = serve(Router::new().route("/v1/tasks", get(empty))).await;
    assert_eq!(taskctl(&server, folder.path(), &["list"]).await.text(), "No tasks.\n");
}

#[tokio::test]
async fn a_closed_pipe_is_not_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(paged(Queries::default())).await;
    let mut child = crate::fake_api::command(&server, folder.path(), &["list", "--limit", "130"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = crate::fake_api::finished(child).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn interrupts_print_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let act = async |Path((id, verb)): Path<(String, String)>| {
        assert_eq!(id, ID);
        match verb.as_str() {
            "stop" => answer(202, &task("stopping")),
            "kill" => answer(200, &task("killed")),
            "resume" => answer(200, &task("queued")),
            _ => problem(404, "not_found", "no"),
        }
    };
    let router = Router::new()
        .route("/v1/tasks/{id}/{verb}", post(act))
        .route("/v1/tasks/{id}", axum::routing::delete(|| async { StatusCode::NO_CONTENT }));
    let server = serve(router).await;
    for (verb, state) in [("stop", "stopping"), ("kill", "killed"), ("resume", "queued")] {
        let run = taskctl(&server, folder.path(), &[verb, ID]).await;
        assert_eq!((run.code, run.text()), (0, format!("Task {ID}: {state}\n")));
        let run = taskctl(&server, folder.path(), &[verb, ID, "--json"]).await;
        assert_eq!((run.code, run.json()), (0, task(state)));
    }
    let run = taskctl(&server, folder.path(), &["delete", ID]).await;
    assert_eq!((run.code, run.text()), (0, format!("Task {ID} is deleted.\n")));
}

#[tokio::test]
async fn a_task_is_run_again_with_other_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let run_again = async |Path(id): Path<String>, Json(body): Json<Value>| {
        assert_eq!(id, ID);
        let expected = json!({"parameters": {"group_by": ["City", "Day"], "on_bad_row": ["skip"]}});
        match body == expected {
            true => answer(202, &accepted()),
            false => problem(422, "invalid_parameters", &body.to_string()),
        }
    };
    let router = Router::new().route("/v1/tasks/{id}/run_again", post(run_again));
    let server = serve(router).await;
    let mut arguments = vec!["run-again", ID];
    arguments.extend(["--group-by", "City", "--on-bad-row", "skip", "--param", "group_by=Day"]);
    let run = taskctl(&server, folder.path(), &arguments).await;
    assert_eq!((run.code, run.text()), (0, format!("Task {ID}: queued, position 1\n")), "{run:?}");
    arguments.push("--json");
    let run = taskctl(&server, folder.path(), &arguments).await;
    assert_eq!((run.code, run.json()), (0, accepted()));
}
