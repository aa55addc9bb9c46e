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
        format!("Fetch the result with `taskctl download {ID}`."),
        format!("12 rows were rejected; fetch them with `taskctl rejected {ID}`."),
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
async fn a_wrong_file_is_to_be_corrected_and_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = failed();
    wrong["links"]["resume"] = json!("/resume");
    let mut repeatable = wrong.clone();
    repeatable["links"]["run_again"] = json!("/run_again");
    let mut lost = wrong.clone();
    lost["error"]["status"] = json!(500);
    for (task, words) in [
        (wrong, "Correct the file and upload it again.".to_owned()),
        (
            repeatable,
            format!("leave these rows out with `taskctl run-again {ID} --on-bad-row skip`"),
        ),
        (lost, format!("Queue it again with `taskctl resume {ID}`.")),
    ] {
        let router = Router::new().route("/v1/tasks/{id}", get(async move || answer(200, &task)));
        let run = taskctl(&serve(router).await, folder.path(), &["status", ID]).await;
        assert!(run.text().contains(&words), "{words}: {}", run.text());
        assert_eq!(run.text().contains("Queue it again"), words.starts_with("Queue"), "{run:?}");
    }
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
        assert_eq!(run.json()["code"], "not_found", "{verb}");
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

    let args = ["list", "--limit", "1e2", "--state", "waiting", "-k", "csv_aggregation"];
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

/// An API with these tasks, which tells each of them.
fn with_tasks(tasks: Vec<Value>) -> Router {
    let all = tasks.clone();
    let list = async move |Query(query): Query<BTreeMap<String, String>>| {
        let size = query["page_size"].parse().unwrap();
        let items: Vec<_> = all.iter().take(size).collect();
        answer(200, &json!({"items": items, "next_page_token": null}))
    };
    let show =
        async move |Path(id): Path<String>| match tasks.iter().find(|task| task["task_id"] == id) {
            Some(task) => answer(200, task),
            None => problem(404, "not_found", "There is no such task."),
        };
    Router::new().route("/v1/tasks", get(list)).route("/v1/tasks/{id}", get(show))
}

#[tokio::test]
async fn tasks_are_named_by_beginnings_of_their_ids_or_as_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let other = "01890a5d-ac96-774b-bcce-ffffffffffff";
    let mut second = task("queued");
    second["task_id"] = json!(other);
    let server = serve(with_tasks(vec![processed(), second.clone()])).await;
    let json = async |args: &[&str]| {
        let run = taskctl(&server, folder.path(), &[&["--json"], args].concat()).await;
        (run.code, run.json())
    };
    assert_eq!(json(&["status", &other[..26]]).await, (0, second.clone()));
    assert_eq!(json(&["status", "--last"]).await, (0, processed()));
    let both = json!({"items": [second, processed()], "errors": []});
    assert_eq!(json(&["status", other, ID, other]).await, (0, both));
    let (code, document) = json(&["status", &ID[..9]]).await;
    let text = document["detail"].as_str().unwrap();
    assert!(code == 1 && text.contains("2 tasks have ids that begin"), "{text}");

    let missing = "01890a5d-ac96-774b-bcce-000000000000";
    let (code, document) = json(&["status", missing, ID]).await;
    assert_eq!((code, &document["items"][0]["task_id"]), (1, &json!(ID)));
    assert_eq!(document["errors"][0]["subject"], missing);
}

#[tokio::test]
async fn quiet_commands_print_ids_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(with_tasks(vec![processed(), task("queued")])).await;
    let run = taskctl(&server, folder.path(), &["ls", "-q"]).await;
    assert_eq!((run.code, run.text()), (0, format!("{ID}\n{ID}\n")));
    let run = taskctl(&server, folder.path(), &["watch", "--quiet", ID]).await;
    assert_eq!((run.code, run.text().as_str(), run.stderr.as_str()), (0, "", ""));
}

#[tokio::test]
async fn an_action_on_all_is_counted_confirmed_and_awaited() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&seen);
    let act = async move |Json(body): Json<Value>| {
        let is_dry = body["dry_run"] == true;
        bodies.lock().unwrap().push(body);
        match is_dry {
            true => answer(200, &json!({"matched": 1_200, "possible": 3})),
            false => answer(202, &accepted()),
        }
    };
    let mut done = task("processed");
    done["kind"] = json!("bulk_action");
    done["result"] = json!({"action": "stop", "matched": 1_200, "done": 3, "not_possible": 1_197,
        "errors": [{"task_id": ID, "state": "processed", "reason": "it has ended"}]});
    let router = with_tasks(vec![done.clone()]).route("/v1/tasks/actions", post(act));
    let server = serve(router).await;

    let all = ["stop", "--all", "--state", "queued,running", "--kind", "csv_preview"];
    let run = taskctl(&server, folder.path(), &all).await;
    assert_eq!((run.code, run.text().as_str()), (2, ""));
    for words in ["1,200 tasks match, of which 3 can be stopped.", "--yes"] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    let run = taskctl(&server, folder.path(), &[&all[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!((run.code, run.json()), (0, json!({"matched": 1_200, "possible": 3})));
    assert!(seen.lock().unwrap().iter().all(|body| body["dry_run"] == true), "nothing is done");

    let run = taskctl(&server, folder.path(), &[&all[..], &["--yes"]].concat()).await;
    let text = "Stopped 3 tasks; it was not possible for 1,197:\n  1 task: it has ended\n  \
                … and 1,196 more\n";
    assert_eq!((run.code, run.text().as_str()), (0, text));
    let filter = json!({"state": ["queued", "processing"], "kind": ["csv_preview"]});
    let expected = json!({"action": "stop", "filter": filter, "dry_run": false});
    assert_eq!(*seen.lock().unwrap().last().unwrap(), expected);
    let run = taskctl(&server, folder.path(), &["rm", "--all", "-y", "--json"]).await;
    assert_eq!((run.code, run.json()), (0, done));
    assert_eq!(seen.lock().unwrap().last().unwrap()["filter"], json!({}));

    for (args, words) in [
        (&["kill", ID, "--all"][..], "cannot be used with"),
        (&["kill", ID, "--state", "queued"], "together with --all only"),
        (&["kill"], "required"),
        (&["kill", ID, "--yes"], "together with --all only"),
    ] {
        let run = taskctl(&server, folder.path(), args).await;
        assert!(run.code == 2 && run.stderr.contains(words), "{args:?}: {run:?}");
    }
}
