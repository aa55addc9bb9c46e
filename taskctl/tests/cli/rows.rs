//! Data uploads on the command line: loaded rows, rejected rows, and checking a file locally.

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use serde_json::{Value, json};

use crate::fake_api::{ID, answer, processed, serve, task, taskctl};

fn loaded() -> Value {
    let mut task = task("processed");
    task["kind"] = json!("data_upload");
    task["result"] = json!({"rows_loaded": 3, "rows_rejected": 2, "resumed_from_row": 2});
    task["links"]["rejected"] = json!(format!("/v1/data_uploads/{ID}/rejected"));
    task
}

fn person(row: u64, name: &str) -> Value {
    json!({"row": row, "name": name, "email": format!("{row}@example.org"),
        "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:00Z"})
}

/// Two pages of rows, and one of rejected ones.
fn router() -> Router {
    let rows = async |RawQuery(query): RawQuery| {
        let query = query.unwrap();
        assert!(query.starts_with("page_size=10000"), "{query}");
        let (items, next) = match query.ends_with("&page_token=second") {
            false => (json!([person(1, "Ada, \"A\""), person(2, "Bo")]), Some("second")),
            true => (json!([person(4, "Cy")]), None),
        };
        answer(200, &json!({"items": items, "next_page_token": next}))
    };
    let rejected = async || {
        let row = json!({"row": 3, "line": 4, "column": null, "value": null, "reason": "ragged"});
        answer(200, &json!({"items": [row], "next_page_token": null}))
    };
    Router::new()
        .route("/v1/tasks/{id}", get(|| async { answer(200, &loaded()) }))
        .route("/v1/data_uploads/{id}/rows", get(rows))
        .route("/v1/data_uploads/{id}/rejected", get(rejected))
}

#[tokio::test]
async fn rows_of_all_pages_are_printed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(router()).await;
    let run = taskctl(&server, folder.path(), &["rows", ID]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let expected = "row,name,email\n1,\"Ada, \"\"A\"\"\",1@example.org\n2,Bo,2@example.org\n\
                    4,Cy,4@example.org\n";
    assert_eq!(run.text(), expected);

    let run = taskctl(&server, folder.path(), &["rows", ID, "--json"]).await;
    let items = [person(1, "Ada, \"A\""), person(2, "Bo"), person(4, "Cy")];
    assert_eq!(run.json(), json!({"items": items, "next_page_token": null}));

    let run = taskctl(&server, folder.path(), &["rows", ID, "--output", "rows.csv"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("rows.csv")).unwrap(), expected);
}

#[tokio::test]
async fn rejected_rows_of_loads_and_aggregations_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(router()).await;
    let run = taskctl(&server, folder.path(), &["rejected", ID]).await;
    assert_eq!(run.text(), "row,line,column,value,reason\n3,4,,,ragged\n");

    let mut aggregated = processed();
    aggregated["links"]["rejected"] = json!(format!("/v1/data_processor/rejected/{ID}"));
    let csv = "line,column,field,value,reason\n2,3,Plays,many,no number\n";
    let router = Router::new()
        .route("/v1/tasks/{id}", get(async move || answer(200, &aggregated)))
        .route("/v1/data_processor/rejected/{id}", get(async move || csv));
    let server = serve(router).await;
    let run = taskctl(&server, folder.path(), &["rejected", ID]).await;
    assert_eq!(run.text(), csv);
    let run = taskctl(&server, folder.path(), &["rejected", ID, "--json"]).await;
    let row =
        json!({"line": 2, "column": 3, "field": "Plays", "value": "many", "reason": "no number"});
    assert_eq!(run.json()["items"], json!([row]));

    let router =
        Router::new().route("/v1/tasks/{id}", get(|| async { answer(200, &task("queued")) }));
    let run = taskctl(&serve(router).await, folder.path(), &["rejected", ID]).await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("no rejected rows (it is queued)"), "{}", run.stderr);
}

#[tokio::test]
async fn waiting_for_a_load_shows_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut half = task("processing");
    half["progress"] = json!({"done": 1024, "total": 2048, "unit": "bytes", "per_second": 512.0});
    half["result"] = json!({"rows_loaded": 90, "rows_rejected": 10, "resumed_from_row": null});
    let router = Router::new().route("/v1/tasks/{id}", get(async move || answer(200, &half)));
    let run = taskctl(&serve(router).await, folder.path(), &["status", ID]).await;
    let phrase = "processing, 1.00 KiB of 2.00 KiB (50 %), 90 rows loaded, 10 rejected, 50 rows/s";
    assert!(run.text().contains(phrase), "{}", run.text());

    let server = serve(self::router()).await;
    let run = taskctl(&server, folder.path(), &["watch", ID]).await;
    let text = run.text();
    assert!(text.starts_with("Loaded 3 rows (the last attempt from row 2 on)"), "{text}");
    assert!(text.contains(&format!("taskctl rejected {ID}")), "{text}");
    assert!(text.contains(&format!("taskctl rows {ID}")), "{text}");
}

#[tokio::test]
async fn a_file_is_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let content = "email,name\nada@example.org, Ada \nnobody,Bo\n";
    std::fs::write(folder.path().join("people.csv"), content).unwrap();
    let args = ["run", "data_upload", "people.csv", "--output", "good.csv", "--json"];
    let run = taskctl("http://127.0.0.1:9", folder.path(), &args).await;
    assert_eq!(run.code, 0, "{run:?}");
    let counts = json!({
        "rows_loaded": 1, "rows_rejected": 1, "resumed_from_row": null,
        "dialect": {"delimiter": ",", "encoding": "utf-8"}
    });
    assert_eq!(run.json(), counts);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("good.csv"), "name,email\nAda,ada@example.org\n");
    let rejected = read("good.csv.rejected.csv");
    assert!(rejected.contains("\n2,3,email,nobody,is not an e-mail address"), "{rejected}");

    let args = ["run", "data_upload", "people.csv", "--param", "on_bad_row=fail"];
    let run = taskctl("http://127.0.0.1:9", folder.path(), &args).await;
    assert_eq!((run.code, run.text().as_str()), (1, ""));
    assert!(run.stderr.contains("line 3, column 1 (email)"), "{}", run.stderr);
}
