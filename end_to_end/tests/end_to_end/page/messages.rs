//! The screen of messages: sending and searching.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::end_to_end::api::eventually;
use crate::end_to_end::standalone::Standalone;

#[tokio::test]
async fn a_sent_message_is_followed_until_it_is_found() {
    let data = tempfile::tempdir().unwrap();
    let server = Standalone::start(data.path()).await;
    for message in ["The parcel has arrived.", "The pump runs again."] {
        let request = server.api.request(Method::POST, "/v1/messages");
        let sent = request.json(&json!({"message": message})).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::ACCEPTED);
    }
    let browser = Browser::start().await;
    browser.open(&format!("{}/messages", server.api.url)).await;
    browser.fill("Message", "A second parcel waits at the harbour.").await;
    browser.click("Send").await;
    eventually("all messages are tracked", async || {
        let list: Value = server.api.get("/v1/messages").await.json().await.unwrap();
        (list["items"].as_array()?.len() == 3).then_some(())
    })
    .await;
    browser.wait_for("three rows are shown", ROWS, &[json!(3)]).await;

    browser.fill("Search messages", "parcel").await;
    browser.wait_for("two rows match", ROWS, &[json!(2)]).await;
    let marked = browser.run(MARKED, &[]).await;
    assert_eq!(marked, json!(["parcel", "parcel"]), "the words are marked");
    browser.fill("Search messages", "pump again").await;
    browser.wait_for("one row matches", ROWS, &[json!(1)]).await;
    assert!(browser.text().await.contains("The pump runs again."));
    browser.finish().await;
}

/// Whether the table has so many rows.
const ROWS: &str =
    "return document.querySelectorAll('main tbody tr .message-text').length === arguments[0]";

/// The marked words.
const MARKED: &str =
    "return [...document.querySelectorAll('main mark')].map((mark) => mark.innerText)";
