//! Names and texts of users that are made to break pages.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::api::{accepted, eventually};
use crate::end_to_end::standalone::Standalone;

/// Would run a script if it were read as HTML.
const MARKUP: &str = "<img src=x onerror=\"window.hacked=1\">";
/// Shows the text behind it from right to left.
const OVERRIDE: char = '\u{202e}';

#[tokio::test]
async fn hostile_texts_are_shown_as_texts() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    let long = "x".repeat(10_000);
    let csv = format!(
        "Song,Date,Number of Plays\n\"{}\",2020-01-01,5\n{OVERRIDE}abc,2020-01-01,6\n{long},2020-01-02,7\n",
        MARKUP.replace('"', "\"\"")
    );
    let mut tasks = Vec::new();
    for name in
        [MARKUP.to_owned(), format!("{OVERRIDE}gnp.csv"), format!("{}.csv", "y".repeat(240))]
    {
        let upload = server.api.request(Method::POST, "/v1/data_processor/upload");
        let upload = upload.query(&[("file_name", &name)]).header("content-type", "text/csv");
        let task = accepted(upload.body(csv.clone()).send().await.unwrap()).await.task.task_id;
        server.api.wait_for_end(task).await;
        tasks.push(task);
    }
    for message in [MARKUP, &long, &format!("{OVERRIDE}message")] {
        let request = server.api.request(Method::POST, "/v1/messages");
        let sent = request.json(&json!({"message": message})).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::ACCEPTED);
    }
    eventually("the messages are tracked", async || {
        let list: Value = server.api.get("/v1/messages").await.json().await.unwrap();
        (list["items"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;

    let browser = Browser::start().await;
    let url = &server.api.url;
    let mut addresses = vec!["/tasks".to_owned(), "/messages".to_owned()];
    addresses.extend(tasks.iter().map(|task| format!("/tasks/{task}")));
    for address in addresses {
        browser.open(&format!("{url}{address}")).await;
        browser.sees(if address == "/messages" { "message" } else { "Processed" }).await;
        for width in [1280, 360] {
            browser.resize(width, 900).await;
            let found = browser.run(include_str!("checks.js"), &[]).await;
            assert_eq!(found, json!([]), "{address}, {width} pixels");
        }
    }
    browser.open(&format!("{url}/tasks/{}", tasks[0])).await;
    browser.sees(MARKUP).await;
    assert_eq!(browser.run("return window.hacked ?? null", &[]).await, Value::Null);
    browser.finish().await;
}
