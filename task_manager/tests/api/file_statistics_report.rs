//! The report on the statistics of files.

use common::file_statistics::{Encoding, FileStatistics};
use common::task::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::TestApp;
use super::backend::{Backend, backend_tests};
use super::file_statistics::{PATH, REPORT, examined, found_at, report, statistics};

backend_tests![
    a_report_adds_up_to_the_rows,
    a_report_is_csv_on_request,
    a_report_supports_numbers_beyond_32_bits,
    a_report_covers_one_user,
    only_administrators_get_the_report_of_another_user,
];

/// Three files on two days, of two types; one of them is binary.
async fn three_files(app: &mut TestApp) -> [TaskId; 3] {
    let binary = FileStatistics {
        size: 2_000,
        lines: None,
        words: None,
        characters: None,
        content_type: "image/png".to_owned(),
        encoding: Encoding::Binary,
        ..statistics("picture.png")
    };
    let second = FileStatistics { size: 30, characters: Some(30), ..statistics("b, \"b\".txt") };
    let ids = [
        examined(app, &statistics("a.txt")).await,
        examined(app, &second).await,
        examined(app, &binary).await,
    ];
    for (id, day) in ids.iter().zip(["2026-03-01", "2026-03-02", "2026-03-02"]) {
        found_at(app, *id, &format!("{day} 08:00:00"));
    }
    ids
}

async fn a_report_adds_up_to_the_rows(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let ids = three_files(&mut app).await;
    let whole = report(&app, "").await;
    let totals = |files, size, lines, words, characters| {
        json!({"files": files, "size": size, "lines": lines, "words": words,
            "characters": characters})
    };
    let with = |mut totals: Value, name: &str, value: &str| {
        totals[name] = json!(value);
        totals
    };
    assert!(whole["timestamp"].is_string() && whole["user_id"].is_string());
    assert_eq!(whole["totals"], totals(3, 2_040, 2, 4, 39));
    assert_eq!(
        whole["by_content_type"],
        json!([
            with(totals(1, 2_000, 0, 0, 0), "content_type", "image/png"),
            with(totals(2, 40, 2, 4, 39), "content_type", "text/plain"),
        ])
    );
    assert_eq!(
        whole["by_day"],
        json!([
            with(totals(1, 10, 1, 2, 9), "date", "2026-03-01"),
            with(totals(2, 2_030, 1, 2, 30), "date", "2026-03-02"),
        ])
    );
    let largest: Vec<_> =
        whole["largest_files"].as_array().unwrap().iter().map(|row| &row["task_id"]).collect();
    assert_eq!(largest, [&json!(ids[2]), &json!(ids[1]), &json!(ids[0])]);
    assert_eq!(whole["largest_files"][0]["lines"], Value::Null);

    let day = report(&app, "?from=2026-03-01&to=2026-03-02").await;
    assert_eq!(day["totals"], totals(1, 10, 1, 2, 9));
    assert_eq!(day["from"], "2026-03-01T00:00:00Z");
    assert_eq!(day["largest_files"].as_array().unwrap().len(), 1);
}

async fn a_report_is_csv_on_request(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    three_files(&mut app).await;
    let request = app.request(Method::GET, REPORT);
    let request = request.header("accept", "application/json;q=0.5, text/csv");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(response.headers()["vary"], "accept");
    let expected = "section,name,files,size,lines,words,characters\n\
        total,,3,2040,2,4,39\n\
        content_type,image/png,1,2000,0,0,0\n\
        content_type,text/plain,2,40,2,4,39\n\
        day,2026-03-01,1,10,1,2,9\n\
        day,2026-03-02,2,2030,1,2,30\n\
        largest_file,picture.png,1,2000,,,\n\
        largest_file,\"b, \"\"b\"\".txt\",1,30,1,2,30\n\
        largest_file,a.txt,1,10,1,2,9\n";
    assert_eq!(response.text().await.unwrap(), expected);
}

async fn a_report_supports_numbers_beyond_32_bits(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    let large = 40_000_000_000_000;
    let statistics = FileStatistics { size: large, characters: Some(large), ..statistics("large") };
    examined(&mut app, &statistics).await;
    examined(&mut app, &statistics).await;
    let totals = &report(&app, "").await["totals"];
    assert_eq!((&totals["size"], &totals["characters"]), (&json!(2 * large), &json!(2 * large)));
}

async fn a_report_covers_one_user(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    examined(&mut app, &statistics("theirs")).await;
    let other = "00000000-0000-4000-8000-00000000000f";
    let hex = other.replace('-', "");
    app.sql(&format!("UPDATE file_statistics SET owner = X'{hex}'"));
    assert_eq!(app.get(PATH).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(report(&app, "").await["totals"]["files"], 0);
    // The user of this machine is an administrator.
    let theirs = report(&app, &format!("?user_id={other}")).await;
    assert_eq!((&theirs["totals"]["files"], &theirs["user_id"]), (&json!(1), &json!(other)));
}

async fn only_administrators_get_the_report_of_another_user(backend: Backend) {
    let mut app = TestApp::start(backend).await;
    three_files(&mut app).await;
    let token = app.log_in_as("alice").await;
    let own: Value =
        app.request_as(&token, Method::GET, REPORT).send().await.unwrap().json().await.unwrap();
    assert_eq!(own["totals"]["files"], 0);
    let owner = report(&app, "").await["user_id"].as_str().unwrap().to_owned();
    let of_owner = format!("{REPORT}?user_id={owner}");
    let refused = app.request_as(&token, Method::GET, &of_owner).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let alice = own["user_id"].as_str().unwrap();
    let of_alice = app.request_as(&token, Method::GET, &format!("{REPORT}?user_id={alice}"));
    assert_eq!(of_alice.send().await.unwrap().status(), StatusCode::OK);
    // The tests' own user is an administrator.
    assert_eq!(report(&app, &format!("?user_id={alice}")).await["totals"]["files"], 0);
}
